# SPDX-License-Identifier: Apache-2.0
"""The language model learns to read image tokens and to write captions.

  oracle    image tokens are a linear map of the true dense targets; needs no tower, so it can run
            while the tower is still in training
  features  a projector learns to give the same tokens from tower features, then projector and
            language model train together on tower features
  quant     the same with straight-through 4-bit weights, so that the export loses nothing

Loss only on the answer, <|im_end|> and the newline after it; words that carry facts weigh more.
"""
import json
import math
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import bpe
import captions
import dataset
import parallel
from kinds import KINDS
from model import FEATURES, LM, Projector, Qwen2, Tower, set_fake_quant
from parallel import log

VOCAB = 1536                    # entries in the embedding, a multiple of 64; the last one is the image placeholder
BPE_SIZE = 1500
BATCH, WARM_UP, COOL_DOWN, WEIGHT_DECAY, FACT_WEIGHT = 16, 100, 0.4, 0.05, 3.0
# Styles of conversation and their shares: the long prompt costs most, so it comes late.
EARLY, LATE = {"outline": 0.85, "short": 0.15}, {"outline": 0.15, "full": 0.75, "short": 0.1}
OUTLINE = "Describe the scene in seven points."


# --------------------------------------------------------------------------------------------------- text

def train_tokenizer(graphs):
    """BPE of captions, tags and prompts of some scenes."""
    rng = random.Random(2)
    texts = [captions.plain(captions.seven_point(g, rng)) for g in graphs for _ in range(3)]
    texts += [captions.plain(captions.short(g, rng)) for g in graphs]
    texts += [captions.tag_block(captions.noisy_tags(g, rng)) for g in graphs]
    texts += [captions.SEVEN_POINT] * 600
    texts += ["".join(captions.conversation(q)) for q in captions.SHORT_PROMPTS + [OUTLINE]] * 100
    texts += [f" {k.name} {k.plural} {k.name.capitalize()} {k.plural.capitalize()}" for k in KINDS] * 20
    return bpe.Tokenizer(bpe.train(texts, BPE_SIZE))


class Samples:
    """Draws conversations for scene graphs."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.end = tokenizer.added["<|im_end|>"]
        self.newline = tokenizer.encode("\n")

    def question(self, graph, style, rng):
        """style: "full" (the seven-point prompt), "outline" (a short prompt for the same) or "short"."""
        text = {"full": captions.SEVEN_POINT, "outline": OUTLINE}.get(style) or rng.choice(captions.SHORT_PROMPTS)
        if style != "short" and rng.random() < 0.5:
            text = captions.tag_block(captions.noisy_tags(graph, rng)) + text
        return text

    def draw(self, graph, style, rng):
        """-> (ids before the image, ids from the image to the answer, answer ids, answer weights)."""
        before, after = captions.conversation(self.question(graph, style, rng))
        text = (captions.short if style == "short" else captions.seven_point)(graph, rng)
        ids, facts = self.tokenizer.encode_marked(text, captions.FACT, captions.END)
        return (self.tokenizer.encode(before), self.tokenizer.encode(after), ids + [self.end] + self.newline,
                [1 + (FACT_WEIGHT - 1) * f for f in facts] + [1.0] * (1 + len(self.newline)))


def loss_of(lm, image_tokens, samples):
    """image_tokens [n,64,hidden] and n drawn samples -> (weighted mean loss, accuracy on fact tokens)."""
    n, cells = image_tokens.shape[:2]
    rows, length = [], max(len(b) + len(a) + len(t) for b, a, t, _ in samples)
    ids = torch.zeros(n, length, dtype=torch.long)
    at_row, at_column, goal, weight = [], [], [], []
    for i, (before, after, answer, weights) in enumerate(samples):
        row = before + after + answer
        ids[i, :len(row)] = torch.tensor(row)
        start = len(before) + cells + len(after) - 1
        at_row += [i] * len(answer)
        at_column += range(start, start + len(answer))
        goal += answer
        weight += weights
    cut = len(samples[0][0])
    words = lm.embed_tokens(ids)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = lm(torch.cat([words[:, :cut], image_tokens, words[:, cut:]], 1))
        logits = lm.logits(hidden[at_row, at_column]).float()
    goal, weight = torch.tensor(goal), torch.tensor(weight)
    loss = (F.cross_entropy(logits, goal, reduction="none") * weight).sum() / weight.sum()
    facts = weight > 1
    return loss, (logits.argmax(-1) == goal)[facts].float().mean().item()


# --------------------------------------------------------------------------------------------------- data

def load_graphs(work, shards):
    """(graphs, coverage u8) of the first training shards."""
    graphs, covers = [], []
    for name in dataset.available_shards(work)[:shards]:
        graphs += json.loads(dataset.shard_path(work, name, "scenes.json").read_text())
        covers.append(np.load(dataset.shard_path(work, name, "coverage.npy")))
    return graphs, np.concatenate(covers)


@torch.no_grad()
def tower_features(tower, images):
    """u8 [n,256,256,3] -> tower tokens f16 [n,64,FEATURES]."""
    tower.eval()
    out = np.empty((len(images), 64, FEATURES), np.float16)
    for at in range(0, len(images), 32):
        pixels = torch.from_numpy(np.ascontiguousarray(images[at:at + 32])).permute(0, 3, 1, 2).float() / 255
        out[at:at + 32] = tower(pixels.contiguous(memory_format=torch.channels_last)).half().numpy()
    return out


def load_tower(work):
    tower = Tower()
    average = torch.load(work / "scenes256.pt")["average"]
    tower.load_state_dict({name[len("tower."):]: value for name, value in average.items() if name.startswith("tower.")})
    return tower.to(memory_format=torch.channels_last).eval()


def cache_features(work, names):
    """Writes WORK/data/NAME_features.npy for the shards that lack it; they belong to the present scenes256.pt."""
    tower = load_tower(work)
    for name in parallel.share(names):
        path = dataset.shard_path(work, name, "features.npy")
        if not path.exists():
            images, _, _ = dataset.load_shard(work, name)
            np.save(path, tower_features(tower, images))
            print(f"features of {name}", flush=True)


def spoil(target, rng):
    """Imitates an imperfect tower on true targets f32 [n,64,TARGET_WIDTH]."""
    for name, odds in (("present", 0.3), ("many", 0.3), ("main", 0.1), ("third", 0.1), ("count", 0.1)):
        gone = rng.rand(len(target)) < odds
        target[gone, :, dataset.SLICES[name]] = 0
    lost = rng.rand(*target.shape[:2]) < 0.1
    part = target[..., dataset.SLICES["cell"]]
    part[lost] = 0
    return target


# ----------------------------------------------------------------------------------------------- training

def optimizer_for(modules, rate):
    decay = [p for m in modules for p in m.parameters() if p.dim() > 1]
    other = [p for m in modules for p in m.parameters() if p.dim() <= 1]
    return torch.optim.AdamW([{"params": decay, "weight_decay": WEIGHT_DECAY}, {"params": other, "weight_decay": 0.0}],
                             rate, betas=(0.9, 0.97))


def run_phase(work, phase, modules, image_tokens, size, graphs, samples, steps, rate, late):
    """Common loop of all phases.

    modules       {name: module} in training, saved to WORK/PHASE.pt with the optimiser; "lm" is one of them
    image_tokens  function(indices, numpy rng) -> [n,64,hidden]
    size          number of scenes; late: from this share of the steps on the LATE styles are drawn
    """
    path, step = work / f"{phase}.pt", 0
    optimizer = optimizer_for(modules.values(), rate)
    if path.exists():
        state = torch.load(path)
        for name, module in modules.items():
            module.load_state_dict(state[name])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    began, ran, hits, total = time.time(), 0, [], []
    while step < steps:
        rng = random.Random(f"{phase} {step}")
        pick = np.array(parallel.share(sorted(rng.sample(range(size), BATCH))))
        mix = LATE if step >= late * steps else EARLY
        style = rng.choices(list(mix), list(mix.values()))[0]
        if parallel.rank() > 0:
            rng.seed(f"{phase} {step} {parallel.rank()}")
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / WARM_UP, 0.01 + (1 - step / steps) / COOL_DOWN)
        loss, hit = loss_of(modules["lm"], image_tokens(pick, np.random.RandomState(step)),
                            [samples.draw(graphs[i], style, rng) for i in pick])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for m in modules.values() for p in m.parameters() if p.grad is not None]
        parallel.average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step, ran = step + 1, ran + 1
        hits.append(hit)
        total.append(loss.item())
        if step % 25 == 0:
            log(f"{phase} {step}/{steps} {time.time() - began:.0f}s loss {np.mean(total):.3f} facts {np.mean(hits):.3f}")
            hits, total = [], []
        if (step % 100 == 0 or step == steps) and parallel.rank() == 0:
            state = {name: module.state_dict() for name, module in modules.items()}
            torch.save(dict(state, optimizer=optimizer.state_dict(), step=step), path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)


def train_oracle(work, shards, steps):
    """Language model on true targets."""
    torch.manual_seed(3)
    graphs, coverage = load_graphs(work, shards)
    tokenizer = tokenizer_of(work, graphs)
    lm, oracle = Qwen2(VOCAB), nn.Linear(dataset.TARGET_WIDTH, LM["hidden_size"])
    nn.init.normal_(oracle.weight, std=0.05)

    def tokens(pick, rng):
        target = spoil(dataset.targets([graphs[i] for i in pick], coverage[pick]), rng)
        out = oracle(torch.from_numpy(target))
        return out + 0.1 * out.detach().std() * torch.from_numpy(rng.randn(*out.shape).astype(np.float32))

    run_phase(work, "oracle", {"lm": lm, "oracle": oracle}, tokens, len(graphs), graphs, Samples(tokenizer), steps, 2e-3, 1.0)


def tokenizer_of(work, graphs=None):
    """The tokenizer in WORK/tokenizer.json; trained from graphs at the first call."""
    path = work / "tokenizer.json"
    if not path.exists():
        path.write_text(json.dumps(train_tokenizer(graphs[:6000]).to_json(), ensure_ascii=False, indent=1))
    return bpe.load(path)


def distil_projector(projector, oracle, features, graphs, coverage, steps):
    """Teaches the projector to give the oracle's tokens from tower features."""
    optimizer = optimizer_for([projector], 3e-3)
    for step in range(steps):
        rng = np.random.RandomState(step)
        pick = np.sort(rng.choice(len(features), 32, replace=False))
        with torch.no_grad():
            goal = oracle(torch.from_numpy(dataset.targets([graphs[i] for i in pick], coverage[pick])))
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * 0.5 * (1 + math.cos(math.pi * step / steps))
        loss = F.mse_loss(projector(torch.from_numpy(features[pick].astype(np.float32))), goal) / goal.var()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            log(f"projector {step + 1}/{steps} unexplained variance {loss.item():.3f}")


def train_features(work, shards, phase, start, steps, rate, quant):
    """Projector and language model on tower features, from the state of phase `start`."""
    torch.manual_seed(4)
    names = dataset.available_shards(work)[:shards]
    features = np.concatenate([np.load(dataset.shard_path(work, n, "features.npy")) for n in names])
    graphs, coverage = load_graphs(work, shards)
    lm, projector = Qwen2(VOCAB), Projector()
    if not (work / f"{phase}.pt").exists():
        state = torch.load(work / f"{start}.pt")
        lm.load_state_dict(state["lm"])
        if "projector" in state:
            projector.load_state_dict(state["projector"])
        else:
            oracle = nn.Linear(dataset.TARGET_WIDTH, LM["hidden_size"])
            oracle.load_state_dict(state["oracle"])
            distil_projector(projector, oracle, features, graphs, coverage, 600)
    for module in (lm, projector):
        set_fake_quant(module, quant)

    def tokens(pick, rng):
        x = torch.from_numpy(features[pick].astype(np.float32))
        noise = torch.from_numpy((1 + 0.1 * rng.randn(*x.shape)).astype(np.float32))
        return projector(x * noise)

    run_phase(work, phase, {"lm": lm, "projector": projector}, tokens, len(features), graphs, Samples(tokenizer_of(work)), steps, rate,
              0.3 if not quant else 0.0)
