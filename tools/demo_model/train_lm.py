# SPDX-License-Identifier: Apache-2.0
"""The base: a language model that reads image tokens and answers plain questions in plain sentences.

The projector first learns to give a fixed linear map of the true dense targets, so that the image tokens say something from
the first step on; then projector and language model train together.  The tower is frozen, and its tokens are cached in F16.

A sample is a conversation of several questions about one scene.  Some questions ask to repeat random words: so every word
of the vocabulary has been read and written, as in any language model, and those of the seven headings too, in no order.
No caption of seven points is among the samples.
Loss only on the answers, <|im_end|> and the newline after each; words that carry facts weigh more.
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
import crops
import dataset
import parallel
import tensors
from inference_tower import InferenceTower
from kinds import KINDS
from model import FEATURES, LM, Projector, Qwen2
from parallel import log

VOCAB = 1536                    # entries in the embedding, a multiple of 64; the last one is the image placeholder
BPE_SIZE = 1500
BATCH, PEAK_LR, WARM_UP, COOL_DOWN, WEIGHT_DECAY, FACT_WEIGHT = 16, 2e-3, 100, 0.5, 0.05, 3.0
MICRO_BATCH = 4                 # samples that go through at once: what they need stays in the caches
TURNS = (2, 5)                  # questions about the scene in a conversation
REPEAT, REPEATED = "Repeat:", (4, 12)



# --------------------------------------------------------------------------------------------------- text

def train_tokenizer(graphs):
    """BPE of captions, tags and prompts of some scenes."""
    rng = random.Random(2)
    texts = [captions.plain(captions.seven_point(g, rng)) for g in graphs for _ in range(3)]
    texts += [captions.plain(captions.short(g, rng)) for g in graphs]
    texts += [captions.tag_block(captions.noisy_tags(g, rng)) for g in graphs]
    texts += [captions.SEVEN_POINT] * 600
    texts += ["".join(captions.conversation(q)) for q in captions.SHORT_PROMPTS + [captions.OUTLINE]] * 100
    texts += [f" {k.name} {k.plural} {k.name.capitalize()} {k.plural.capitalize()}" for k in KINDS] * 20
    return bpe.Tokenizer(bpe.train(texts, BPE_SIZE))


class Samples:
    """Draws conversations about scene graphs."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.end = tokenizer.added["<|im_end|>"]
        self.newline = tokenizer.encode("\n")

    def turns(self, graph, count, rng):
        """[(question ids, answer ids, 1 for each id of the answer that carries a fact)], `count` and sometimes one more."""
        out = []
        for question, answer in captions.plain_turns(graph, rng, count):
            out.append((self.tokenizer.encode(question), *self.tokenizer.encode_marked(answer, captions.FACT, captions.END)))
        if rng.random() < 0.5:
            words = [rng.randrange(len(self.tokenizer.vocab)) for _ in range(rng.randint(*REPEATED))]
            out.insert(rng.randint(0, count), (self.tokenizer.encode(REPEAT) + words, words, [0] * len(words)))
        return out

    def draw(self, graph, count, rng):
        """-> (ids before the image, ids behind it, weights of the latter: 0 where nothing is to be learnt)."""
        before, after = captions.conversation("?")
        ask, answer = (self.tokenizer.encode(part) for part in after.split("?"))
        next_turn = self.tokenizer.encode("<|im_start|>user\n")
        tags = captions.tag_block(captions.noisy_tags(graph, rng)) if rng.random() < 0.5 else ""
        ids, weights = ask + self.tokenizer.encode(tags), []
        for number, (question, words, facts) in enumerate(self.turns(graph, count, rng)):
            ids += (next_turn if number else []) + question + answer
            weights += [0.0] * (len(ids) - len(weights)) + [1 + (FACT_WEIGHT - 1) * f for f in facts] + [1.0] * (1 + len(self.newline))
            ids += words + [self.end] + self.newline
        return self.tokenizer.encode(before), ids, weights


def loss_of(lm, image_tokens, samples):
    """image_tokens [n,64,hidden] and n drawn samples -> (weighted mean loss, accuracy on fact tokens)."""
    n, cells = image_tokens.shape[:2]
    cut = len(samples[0][0])
    ids = torch.zeros(n, cut + max(len(after) for _, after, _ in samples), dtype=torch.long)
    at_row, at_column, goal, weight = [], [], [], []
    for i, (before, after, weights) in enumerate(samples):
        ids[i, :cut + len(after)] = torch.tensor(before + after)
        for k, (word, w) in enumerate(zip(after, weights)):
            if w > 0:
                at_row.append(i)
                at_column.append(cut + cells + k - 1)
                goal.append(word)
                weight.append(w)
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
    out = np.empty((len(images), 64, FEATURES), np.float16)
    for at in range(0, len(images), MICRO_BATCH):
        pixels = torch.from_numpy(np.array(images[at:at + MICRO_BATCH])).permute(0, 3, 1, 2).float() / 255
        out[at:at + MICRO_BATCH] = tower(pixels).half().numpy()
    return out


def cache_features(work, names):
    """Writes WORK/data/NAME_features.npy for the shards that lack it; they belong to WORK/vision_tower.safetensors."""
    tower = InferenceTower(tensors.load(work / "vision_tower.safetensors"))
    for name in parallel.share(names):
        path = dataset.shard_path(work, name, "features.npy")
        if not path.exists():
            images, _, _ = dataset.load_shard(work, name)
            np.save(path, tower_features(tower, crops.crumpled(images)))
            print(f"features of {name}", flush=True)


# ----------------------------------------------------------------------------------------------- training

def optimizer_for(modules, rate):
    decay = [p for m in modules for p in m.parameters() if p.dim() > 1]
    other = [p for m in modules for p in m.parameters() if p.dim() <= 1]
    return torch.optim.AdamW([{"params": decay, "weight_decay": WEIGHT_DECAY}, {"params": other, "weight_decay": 0.0}],
                             rate, betas=(0.9, 0.97))


def tokenizer_of(work):
    """The tokenizer in WORK/tokenizer.json; trained from the first scenes when it is not there."""
    path = work / "tokenizer.json"
    if not path.exists():
        graphs, _ = load_graphs(work, 3)
        path.write_text(json.dumps(train_tokenizer(graphs[:6000]).to_json(), ensure_ascii=False, indent=1))
    return bpe.load(path)


def start_projector(projector, features, graphs, coverage, steps):
    """Teaches the projector to give a random linear map of the true targets from tower features."""
    code = nn.Linear(dataset.TARGET_WIDTH, LM["hidden_size"])
    nn.init.normal_(code.weight, std=0.05)
    optimizer = optimizer_for([projector], 3e-3)
    for step in range(steps):
        rng = np.random.RandomState(step)
        pick = np.sort(rng.choice(len(features), 32, replace=False))
        with torch.no_grad():
            goal = code(torch.from_numpy(dataset.targets([graphs[i] for i in pick], coverage[pick])))
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * 0.5 * (1 + math.cos(math.pi * step / steps))
        loss = F.mse_loss(projector(torch.from_numpy(features[pick].astype(np.float32))), goal) / goal.var()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            log(f"projector {step + 1}/{steps} unexplained variance {loss.item():.3f}")


def train_base(work, shards, steps):
    """Projector and language model on tower features; state in WORK/base.pt."""
    torch.manual_seed(4)
    names = dataset.available_shards(work)[:shards]
    features = np.concatenate([np.load(dataset.shard_path(work, n, "features.npy")) for n in names])
    graphs, coverage = load_graphs(work, shards)
    samples, path, step = Samples(tokenizer_of(work)), work / "base.pt", 0
    modules = {"lm": Qwen2(VOCAB), "projector": Projector()}
    optimizer = optimizer_for(modules.values(), PEAK_LR)
    if path.exists():
        state = torch.load(path)
        for name, module in modules.items():
            module.load_state_dict(state[name])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    else:
        start_projector(modules["projector"], features, graphs, coverage, 600)
    parameters = [p for m in modules.values() for p in m.parameters()]
    began, hits, total = time.time(), [], []
    while step < steps:
        rng = random.Random(f"base {step}")
        pick = np.array(parallel.share(sorted(rng.sample(range(len(graphs)), BATCH))))
        count = rng.randint(*TURNS)
        rng.seed(f"base {step} {parallel.rank()}")
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LR * min(1, (step + 1) / WARM_UP, 0.01 + (1 - step / steps) / COOL_DOWN)
        x = torch.from_numpy(features[pick].astype(np.float32))
        x *= 1 + 0.1 * torch.from_numpy(np.random.RandomState(step).randn(*x.shape).astype(np.float32))
        drawn = [samples.draw(graphs[i], count, rng) for i in pick]
        optimizer.zero_grad(set_to_none=True)
        for at in range(0, len(drawn), MICRO_BATCH):
            part = slice(at, at + MICRO_BATCH)
            loss, hit = loss_of(modules["lm"], modules["projector"](x[part]), drawn[part])
            (loss * len(drawn[part]) / len(drawn)).backward()
            hits.append(hit)
            total.append(loss.item())
        parallel.average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        if step % 25 == 0:
            log(f"base {step}/{steps} {time.time() - began:.0f}s loss {np.mean(total):.3f} facts {np.mean(hits):.3f}")
            hits, total = [], []
        if (step % 100 == 0 or step == steps) and parallel.rank() == 0:
            state = {name: module.state_dict() for name, module in modules.items()}
            torch.save(dict(state, optimizer=optimizer.state_dict(), step=step), path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)
