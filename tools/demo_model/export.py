# SPDX-License-Identifier: Apache-2.0
"""Writes the trained model in the formats of the real thing.

  model.safetensors         language model and projector, MLX affine 4 bits (group 64), names of Apple's export
  vision_tower.safetensors  tower, F16, inference form, Apple's names
  config.json, generation_config.json, tokenizer.json, tokenizer_config.json
"""
import json

import numpy as np
import torch

import tensors
from model import BLOCKS, FEATURES, GROUP, LM, MLP_RATIO, WIDTHS, Embedding, Linear, Projector, Qwen2, fold_tower, quantise
from train_lm import VOCAB, load_tower, tokenizer_of

TOWER_PREFIX = "model.vision_tower.vision_tower.model."


def pack(weight):
    """Weight [o,i] -> (U32 words [o,i/8], scales F16, biases F16 [o,i/64])."""
    codes, scale, bias = quantise(weight)
    nibbles = codes.flatten(1).numpy().astype(np.uint32).reshape(weight.shape[0], -1, 8)
    words = (nibbles << (4 * np.arange(8, dtype=np.uint32))).sum(-1).astype(np.uint32)
    return words, scale.numpy().astype(np.float16), bias.numpy().astype(np.float16)


def stored_tensors(module, prefix, quantised):
    """All tensors of a module in the MLX layout: with 4-bit weights, or all in F16."""
    out = {}
    for name, part in module.named_modules():
        path = prefix + name
        if quantised and isinstance(part, (Linear, Embedding)):
            out[path + ".weight"], out[path + ".scales"], out[path + ".biases"] = pack(part.weight.detach())
            if getattr(part, "bias", None) is not None:
                out[path + ".bias"] = part.bias.detach().numpy().astype(np.float16)
        elif not list(part.children()):
            for key, value in part.named_parameters():
                out[f"{path}.{key}"] = value.detach().numpy().astype(np.float16)
    return out


def config(tokenizer, quantised):
    return {
        "architectures": ["LlavaQwen2ForCausalLM"], "model_type": "llava_qwen2", **LM, "hidden_act": "silu",
        "vocab_size": VOCAB, "max_position_embeddings": 2048, "tie_word_embeddings": True, "torch_dtype": "float16",
        "bos_token_id": tokenizer.added["<|endoftext|>"], "eos_token_id": tokenizer.added["<|im_end|>"],
        "image_token_index": VOCAB - 1, "tokenizer_model_max_length": 2048,
        "mm_vision_tower": "mobileclip_s0_256", "mm_hidden_size": FEATURES, "mm_projector_type": "mlp2x_gelu",
        "image_aspect_ratio": "pad", "mm_use_im_start_end": False, "mm_use_im_patch_token": False,
        "mm_patch_merge_type": "flat",
        "vision_cfg": {"family": "mci0", "layers": list(BLOCKS), "embed_dims": list(WIDTHS), "mlp_ratios": [MLP_RATIO] * 4,
                       "se_downsamples": [False, False, True, True], "cls_ratio": 2.0, "stem_scale_branch": False,
                       "norm": "BatchNorm2d", "image_size": 256, "stride": 32},
        **({"quantization": {"group_size": GROUP, "bits": 4}} if quantised else {}),
    }


def tokenizer_config(tokenizer):
    added = {str(i): {"content": c, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
             for c, i in tokenizer.added.items()}
    template = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
                "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
                "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
                "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
    return {"add_prefix_space": False, "added_tokens_decoder": added, "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
            "bos_token": None, "chat_template": template, "clean_up_tokenization_spaces": False, "eos_token": "<|im_end|>",
            "errors": "replace", "model_max_length": 2048, "pad_token": "<|endoftext|>", "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer", "unk_token": None}


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def export(work, out, phase, quantised=True):
    """Exports the tower and the state of `phase` into the folder `out`; not quantised, in F16 throughout."""
    out.mkdir(parents=True, exist_ok=True)
    state = torch.load(work / f"{phase}.pt")
    lm, projector = Qwen2(VOCAB), Projector()
    lm.load_state_dict(state["lm"])
    projector.load_state_dict(state["projector"])
    arrays = stored_tensors(lm, "language_model.model.", quantised)
    arrays.update(stored_tensors(projector, "multi_modal_projector.", quantised))
    tensors.save(out / "model.safetensors", arrays, {"format": "mlx"})
    tower = {TOWER_PREFIX + k: v.contiguous().numpy().astype(np.float16) for k, v in fold_tower(load_tower(work)).items()}
    tensors.save(out / "vision_tower.safetensors", tower, {"format": "pt"})
    tokenizer = tokenizer_of(work)
    write_json(out / "config.json", config(tokenizer, quantised))
    write_json(out / "generation_config.json", {"do_sample": False, "bos_token_id": tokenizer.added["<|endoftext|>"],
                                                "eos_token_id": tokenizer.added["<|im_end|>"], "max_new_tokens": 256})
    write_json(out / "tokenizer.json", tokenizer.to_json())
    write_json(out / "tokenizer_config.json", tokenizer_config(tokenizer))
