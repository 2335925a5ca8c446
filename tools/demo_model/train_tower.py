# SPDX-License-Identifier: Apache-2.0
"""Phase A: trains the tower with dense targets per token; the linear heads are thrown away afterwards.

Every token must tell which kinds its cell shows, and the whole scene: main kind, its third and count,
place, time, weather, and its own row and column.  The language model then finds all facts in any token.
"""
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import dataset
from model import FEATURES, Tower

BATCH, PEAK_LR, WARM_UP, WEIGHT_DECAY = 16, 2e-3, 100, 0.03
WEIGHTS = {"cell": 3.0, "main_here": 0.5, "main": 2.0, "third": 0.7, "count": 0.5, "place": 0.5, "time": 0.7, "weather": 0.5,
           "present": 0.1, "many": 0.1, "row": 0.1, "column": 0.1}


def cell_loss(logits, target):
    """Soft cross entropy over kinds + "nothing" per cell; cells with an object weigh three times."""
    none = (target.sum(-1, keepdim=True) == 0).float()
    full = torch.cat([target, none], -1)
    full = full / full.sum(-1, keepdim=True)
    each = -(full * logits.log_softmax(-1)).sum(-1)
    weight = 1 + 2 * (1 - none[..., 0])
    return (each * weight).sum() / weight.sum()


def losses(out, target):
    """Head outputs [n,64,1+TARGET_WIDTH] (the first is the logit of "nothing here") -> {name: loss}."""
    none, out = out[..., :1], out[..., 1:]
    result = {}
    for name, part in dataset.SLICES.items():
        y, t = out[..., part], target[..., part]
        if name == "cell":
            result[name] = cell_loss(torch.cat([y, none], -1), t)
        elif name in dataset.ONE_HOT:
            result[name] = -(t * y.log_softmax(-1)).sum(-1).mean()
        else:
            result[name] = F.binary_cross_entropy_with_logits(y, t, reduction="none").sum(-1).mean()
    return result


def batch(images, coverage, graphs, pick):
    """Rows `pick` of a shard -> pixels f32 [n,3,256,256], targets f32 [n,64,TARGET_WIDTH]."""
    pixels = torch.from_numpy(np.ascontiguousarray(images[pick])).permute(0, 3, 1, 2).float() / 255
    return pixels, torch.from_numpy(dataset.targets([graphs[i] for i in pick], coverage[pick]))


@torch.no_grad()
def accuracy(tower, head, shard, count=500, majority=True):
    """Share of scenes whose mean prediction over tokens is right: {main, third, place, time, weather, count}."""
    images, coverage, graphs = shard
    right, total = {}, 0
    tower.eval()
    for at in range(0, min(count, len(graphs)), 25):
        pixels, target = batch(images, coverage, graphs, np.arange(at, min(at + 25, len(graphs))))
        out = head(tower(pixels))[..., 1:].mean(1)
        for name in ("main", "third", "count", "place", "time", "weather"):
            part = dataset.SLICES[name]
            hit = (out[:, part].argmax(-1) == target[:, 0, part].argmax(-1)).sum().item()
            right[name] = right.get(name, 0) + hit
        total += len(pixels)
    tower.train()
    return {name: round(hit / total, 3) for name, hit in right.items()}


def train(work, steps, log, stop_after=None):
    """Trains to `steps`, saving WORK/tower.pt now and then; continues from it when present."""
    torch.manual_seed(1)
    tower, head = Tower(), nn.Linear(FEATURES, 1 + dataset.TARGET_WIDTH)
    tower = tower.to(memory_format=torch.channels_last)
    decay = [p for p in tower.parameters() if p.dim() > 1] + [head.weight]
    other = [p for p in tower.parameters() if p.dim() <= 1] + [head.bias]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": WEIGHT_DECAY}, {"params": other, "weight_decay": 0.0}], PEAK_LR)
    path, step = work / "tower.pt", 0
    if path.exists():
        state = torch.load(path)
        tower.load_state_dict(state["tower"])
        head.load_state_dict(state["head"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    per_shard = dataset.SHARD // BATCH
    shard, at, began = None, -1, time.time()
    while step < steps:
        if step // per_shard != at:
            at = step // per_shard
            names = dataset.available_shards(work)
            shard = dataset.load_shard(work, names[at % len(names)])
            order = np.random.RandomState(at).permutation(dataset.SHARD)
        pick = np.sort(order[step % per_shard * BATCH:][:BATCH])
        pixels, target = batch(*shard, pick)
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LR * min(1, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))
        parts = losses(head(tower(pixels.contiguous(memory_format=torch.channels_last))), target)
        loss = sum(WEIGHTS[k] * v for k, v in parts.items())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(tower.parameters(), 5.0)
        optimizer.step()
        step += 1
        if step % 25 == 0:
            log(f"tower {step}/{steps} {time.time() - began:.0f}s loss {loss.item():.2f} " +
                " ".join(f"{k} {v.item():.2f}" for k, v in parts.items()))
        if step % 200 == 0 or step == steps:
            torch.save({"tower": tower.state_dict(), "head": head.state_dict(), "optimizer": optimizer.state_dict(), "step": step},
                       path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)
        if step % 400 == 0 or step == steps:
            for name in ("test", "seen"):
                log(f"tower {step} {name} drawings: {accuracy(tower, head, dataset.load_shard(work, name), 200)}")
    return tower, head
