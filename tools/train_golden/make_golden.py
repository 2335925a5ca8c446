#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ten steps of LoRA training on a small random Qwen2, as PyTorch's autograd and AdamW do them, without and with the projector.

    tools/train_golden/make_golden.py tests/goldens/train

Needs PyTorch alone (Debian: python3-torch). The model is written down from docs/MODEL.md in float64; the rules of the
run are those of Hugging Face's Trainer: the loss is the mean over the supervised tokens of the whole accumulated batch.
"""
import json
import math
import pathlib
import struct
import sys

import torch

HIDDEN, LAYERS, HEADS, KV_HEADS, WIDE, VOCABULARY, IMAGE_TOKENS, TOWER = 32, 3, 4, 2, 48, 60, 5, 12
DIM = HIDDEN // HEADS
THETA, EPS = 10000.0, 1e-6
RANK, ALPHA = 4, 6.0
STEPS, BATCH, ACCUMULATION = 10, 2, 2
RATE, WARMUP_RATIO, WEIGHT_DECAY, MAX_NORM = 5e-3, 0.15, 0.01, 1.0
TARGETS = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (HIDDEN, KV_HEADS * DIM),
    "self_attn.v_proj": (HIDDEN, KV_HEADS * DIM),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (HIDDEN, WIDE),
    "mlp.up_proj": (HIDDEN, WIDE),
    "mlp.down_proj": (WIDE, HIDDEN),
}
DTYPES = {torch.float32: "F32", torch.int32: "I32"}


def save(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        raw = tensor.contiguous().numpy().tobytes()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def random(*shape, scale=1.0, centre=0.0):
    """Numbers that f32 holds exactly."""
    return (centre + scale * torch.randn(*shape, dtype=torch.float64)).float().double()


def make_model():
    model = {"model.embed_tokens.weight": random(VOCABULARY, HIDDEN, scale=0.3), "model.norm.weight": random(HIDDEN, scale=0.2, centre=1)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            model[f"{prefix}{norm}.weight"] = random(HIDDEN, scale=0.2, centre=1)
        for name, (inputs, outputs) in TARGETS.items():
            model[f"{prefix}{name}.weight"] = random(outputs, inputs, scale=1 / math.sqrt(inputs))
            if name[10:] in ("q_proj", "k_proj", "v_proj"):
                model[f"{prefix}{name}.bias"] = random(outputs, scale=0.2)
    return model


def make_adapter():
    adapter = {}
    for layer in range(LAYERS):
        for name, (inputs, outputs) in TARGETS.items():
            key = f"model.layers.{layer}.{name}"
            adapter[f"{key}.lora_A.weight"] = random(RANK, inputs, scale=1 / math.sqrt(inputs)).requires_grad_()
            adapter[f"{key}.lora_B.weight"] = random(outputs, RANK, scale=0.1).requires_grad_()
    return adapter


def make_projector():
    projector = {}
    for name, inputs in (("0", TOWER), ("2", HIDDEN)):
        projector[f"model.mm_projector.{name}.weight"] = random(HIDDEN, inputs, scale=1 / math.sqrt(inputs)).requires_grad_()
        projector[f"model.mm_projector.{name}.bias"] = random(HIDDEN, scale=0.2).requires_grad_()
    return projector


def make_samples():
    """Ids with one image hole (-200), and how many of the last are supervised."""
    samples = []
    for i in range(8):
        prompt, answer = 4 + i % 3, 3 + (5 * i) % 7
        ids = torch.randint(0, VOCABULARY, (prompt + answer,), dtype=torch.int32)
        ids[2] = -200
        samples.append((ids, random(IMAGE_TOKENS, HIDDEN, scale=0.3), answer))
    return samples


def linear(model, adapter, name, x):
    y = torch.nn.functional.linear(x, model[f"{name}.weight"], model.get(f"{name}.bias"))
    inner = torch.nn.functional.linear(x, adapter[f"{name}.lora_A.weight"])
    return y + ALPHA / RANK * torch.nn.functional.linear(inner, adapter[f"{name}.lora_B.weight"])


def project(projector, tokens):
    inner = torch.nn.functional.linear(tokens, projector["model.mm_projector.0.weight"], projector["model.mm_projector.0.bias"])
    return torch.nn.functional.linear(torch.nn.functional.gelu(inner), projector["model.mm_projector.2.weight"],
                                      projector["model.mm_projector.2.bias"])


def norm(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * weight


def rope(x):
    """[heads, rows, DIM], half-split."""
    angles = torch.arange(x.shape[1], dtype=torch.float64)[:, None] * THETA ** (-torch.arange(0, DIM, 2, dtype=torch.float64) / DIM)
    cos, sin = torch.cos(angles), torch.sin(angles)
    first, second = x[..., : DIM // 2], x[..., DIM // 2:]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


def block(model, adapter, layer, x):
    prefix = f"model.layers.{layer}."
    rows = x.shape[0]
    normed = norm(x, model[f"{prefix}input_layernorm.weight"])
    q, k, v = (linear(model, adapter, f"{prefix}self_attn.{n}_proj", normed).view(rows, -1, DIM).transpose(0, 1) for n in "qkv")
    q, k = rope(q), rope(k).repeat_interleave(HEADS // KV_HEADS, 0)
    v = v.repeat_interleave(HEADS // KV_HEADS, 0)
    scores = q @ k.transpose(1, 2) / math.sqrt(DIM)
    scores = scores.masked_fill(torch.ones(rows, rows).triu(1).bool(), -math.inf)
    attended = (scores.softmax(-1) @ v).transpose(0, 1).reshape(rows, -1)
    x = x + linear(model, adapter, f"{prefix}self_attn.o_proj", attended)
    normed = norm(x, model[f"{prefix}post_attention_layernorm.weight"])
    gated = torch.nn.functional.silu(linear(model, adapter, f"{prefix}mlp.gate_proj", normed)) * linear(model, adapter, f"{prefix}mlp.up_proj", normed)
    return x + linear(model, adapter, f"{prefix}mlp.down_proj", gated)


def loss_sum(model, adapter, sample):
    ids, image, answer = sample
    if image.shape[1] == TOWER:  # what the projector, which learns, reads
        image = project(adapter, image)
    embedding = model["model.embed_tokens.weight"]
    x = torch.cat((embedding[ids[:2].long()], image, embedding[ids[3:].long()]))
    for layer in range(LAYERS):
        x = block(model, adapter, layer, x)
    logits = norm(x, model["model.norm.weight"]) @ embedding.T  # tied
    return torch.nn.functional.cross_entropy(logits[-answer - 1:-1], ids[-answer:].long(), reduction="sum")


def rate_factor(step):
    """Linear warm-up, then a cosine down to zero, as in transformers' get_cosine_schedule_with_warmup."""
    warmup = math.ceil(WARMUP_RATIO * STEPS)
    if step < warmup:
        return step / max(1, warmup)
    return max(0.0, 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, STEPS - warmup))))


def train(model, adapter, samples):
    parameters = list(adapter.values())
    # Biases do not decay, as in Hugging Face's Trainer.
    groups = [{"params": [tensor for name, tensor in adapter.items() if name.endswith(".bias") == biases],
               "weight_decay": 0.0 if biases else WEIGHT_DECAY} for biases in (False, True)]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.999), eps=1e-8)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate_factor)
    losses, norms, rates, gradients = [], [], [], {}
    for step in range(STEPS):
        count = BATCH * ACCUMULATION
        batch = [samples[(step * count + i) % len(samples)] for i in range(count)]
        tokens = sum(answer for _, _, answer in batch)
        optimizer.zero_grad()
        loss = sum(loss_sum(model, adapter, sample) for sample in batch) / tokens
        loss.backward()
        if step == 0:
            gradients = {name: tensor.grad.clone() for name, tensor in adapter.items()}
        losses.append(loss.item())
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, MAX_NORM).item())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return losses, norms, rates, gradients


def save_adapter(folder, adapter, whole):
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / "adapter_model.safetensors", {f"base_model.model.{name}": tensor.detach().float() for name, tensor in adapter.items()})
    (folder / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": ALPHA, "lora_dropout": 0.0, "bias": "none",
        "target_modules": sorted(name.split(".")[1] for name in TARGETS), **({"modules_to_save": whole} if whole else {})}, indent=1) + "\n")


def trace(model, adapter, samples, given):
    """A run's golden tensors, those that are given among them."""
    losses, norms, rates, gradients = train(model, adapter, samples)
    print("\n".join(f"{step:2}  loss {loss:.6f}  norm {size:.6f}  rate {rate:.6f}"
                    for step, (loss, size, rate) in enumerate(zip(losses, norms, rates))))
    golden = {"losses": torch.tensor(losses).float(), "norms": torch.tensor(norms).float(), "rates": torch.tensor(rates).float(),
              **given}
    for name in adapter:
        golden[f"gradient.{name}"] = gradients[name].float()
        golden[f"final.{name}"] = adapter[name].detach().float()
    return golden


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.manual_seed(1)
    model, adapter, samples = make_model(), make_adapter(), make_samples()
    save(folder / "model.safetensors", {name: tensor.float() for name, tensor in model.items()})
    (folder / "config.json").write_text(json.dumps({
        "model_type": "llava_qwen2", "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "intermediate_size": WIDE, "vocab_size": VOCABULARY, "rope_theta": THETA,
        "rms_norm_eps": EPS, "hidden_act": "silu", "max_position_embeddings": 256, "tie_word_embeddings": True}, indent=1) + "\n")
    save_adapter(folder / "adapter", adapter, [])
    start = {name: tensor.detach().clone().requires_grad_() for name, tensor in adapter.items()}
    given = {}
    for i, (ids, image, answer) in enumerate(samples):
        given[f"sample.{i}.ids"] = ids
        given[f"sample.{i}.image"] = image.float()
        given[f"sample.{i}.supervised"] = torch.tensor([answer], dtype=torch.int32)
    save(folder / "golden.safetensors", trace(model, adapter, samples, given))

    # The same adapter and samples, with a projector that learns and what it reads in place of the image.
    start.update(make_projector())
    save_adapter(folder / "adapter_projector", start, ["mm_projector"])
    samples = [(ids, random(IMAGE_TOKENS, TOWER), answer) for ids, _, answer in samples]
    given = {f"sample.{i}.image": image.float() for i, (_, image, _) in enumerate(samples)}
    save(folder / "golden_projector.safetensors", trace(model, start, samples, given))


main()
