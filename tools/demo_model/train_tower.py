# SPDX-License-Identifier: Apache-2.0
"""Phase A: trains the tower; the linear heads are thrown away afterwards.

First on small crops of single drawings (cheap, many drawings per second), then on whole scenes with dense
targets per token.  Every token must tell which kinds its cell shows, and the whole scene: main kind, its third and count,
place, time, weather, and its own row and column.  The language model then finds all facts in any token.
"""
import math
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import crops
import dataset
import parallel
import scenes
from assets import load_sprites
from model import FEATURES, Tower
from parallel import log

CROP_BATCH, CROP_LR = 64, 3e-3
BATCH, PEAK_LR, WARM_UP, WEIGHT_DECAY = 16, 1.5e-3, 100, 0.03
STRIDE = 32
SIZES = [(0.5, 160), (1.0, 256)]       # small inputs first: (until this share of the steps, side)
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


def batch(images, coverage, graphs, pick, side=256):
    """Rows `pick` of a shard -> pixels f32 [n,3,side,side], targets f32 [n,(side/32)^2,TARGET_WIDTH]."""
    pixels = torch.from_numpy(np.ascontiguousarray(images[pick])).permute(0, 3, 1, 2).float() / 255
    covers = coverage[pick]
    if side != pixels.shape[-1]:
        pixels = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        grid, old = side // STRIDE, covers.shape[-1]
        n, objects = covers.shape[:2]
        fine = covers.repeat(grid, 2).repeat(grid, 3).astype(np.float32)
        covers = fine.reshape(n, objects, grid, old, grid, old).mean((3, 5))
    return pixels, torch.from_numpy(dataset.targets([graphs[i] for i in pick], covers))


@torch.no_grad()
def accuracy(tower, head, shard, count=500):
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


def new_tower():
    torch.manual_seed(1)
    return Tower().to(memory_format=torch.channels_last), nn.Linear(FEATURES, 1 + dataset.TARGET_WIDTH)


def optimizer_for(tower, head, rate):
    decay = [p for p in tower.parameters() if p.dim() > 1] + [head.weight]
    other = [p for p in tower.parameters() if p.dim() <= 1] + [head.bias]
    return torch.optim.AdamW([{"params": decay, "weight_decay": WEIGHT_DECAY}, {"params": other, "weight_decay": 0.0}], rate)


def save(path, tower, head, optimizer, step):
    if parallel.rank() > 0:
        return
    state = {"tower": tower.state_dict(), "head": head.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def restore(path, tower, head, optimizer=None):
    """-> the step that was reached."""
    state = torch.load(path)
    tower.load_state_dict(state["tower"])
    head.load_state_dict(state["head"])
    if optimizer is not None:
        optimizer.load_state_dict(state["optimizer"])
    return state["step"]


def finish(tower, head, optimizer):
    """Averages over the processes, clips and steps."""
    parallel.average_gradients([p for m in (tower, head) for p in m.parameters() if p.grad is not None])
    nn.utils.clip_grad_norm_(tower.parameters(), 5.0)
    optimizer.step()


def pixels_of(images):
    """u8 [n,h,w,3] -> f32 [n,3,h,w] in 0..1, channels last in memory."""
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
    return x.contiguous(memory_format=torch.channels_last)


def train_crops(work, steps):
    """Teaches the kinds on crops; saves WORK/crops.pt and continues from it."""
    tower, head = new_tower()
    optimizer, path, step = optimizer_for(tower, head, CROP_LR), work / "crops.pt", 0
    if path.exists():
        step = restore(path, tower, head, optimizer)
    table = {split: crops.shrink(part) for split, part in scenes.index_sprites(load_sprites(work)).items()}
    images, _, _ = dataset.load_shard(work, dataset.available_shards(work)[0])
    images = np.array(images[:600])
    tests = {split: crops.fixed_set(table[split], images, 640, 7) for split in ("test", "train")}
    began, total = time.time(), []
    while step < steps:
        count = len(parallel.share(range(CROP_BATCH)))
        picture, label = crops.batch(table["train"], images, count, random.Random(step * 100 + parallel.rank()))
        for group in optimizer.param_groups:
            group["lr"] = CROP_LR * min(1, (step + 1) / WARM_UP) * (0.05 + 0.475 * (1 + math.cos(math.pi * step / steps)))
        out = head(tower(pixels_of(picture)).mean(1))[:, 1:]
        label = torch.from_numpy(label)
        loss = sum(F.cross_entropy(out[:, dataset.SLICES[name]], label, label_smoothing=0.1) for name in ("main", "cell"))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        finish(tower, head, optimizer)
        step += 1
        total.append(loss.item() / 2)
        if step % 50 == 0:
            log(f"crops {step}/{steps} {time.time() - began:.0f}s loss {np.mean(total):.3f}")
            total = []
        if step % 250 == 0 or step == steps:
            save(path, tower, head, optimizer, step)
        if (step % 250 == 0 or step == steps) and parallel.rank() == 0:
            tower.eval()
            with torch.no_grad():
                for split, (picture, label) in tests.items():
                    out = head(tower(pixels_of(picture)).mean(1))[:, 1:][:, dataset.SLICES["main"]]
                    log(f"crops {step} {split} drawings: {(out.argmax(-1).numpy() == label).mean():.3f}")
            tower.train()


def train(work, steps):
    """Trains on scenes to `steps` from WORK/crops.pt, saving WORK/tower.pt now and then; continues from it."""
    tower, head = new_tower()
    optimizer, path, step = optimizer_for(tower, head, PEAK_LR), work / "tower.pt", 0
    if path.exists():
        step = restore(path, tower, head, optimizer)
    else:
        restore(work / "crops.pt", tower, head)
    per_shard = dataset.SHARD // BATCH
    shard, at, began = None, -1, time.time()
    while step < steps:
        if step // per_shard != at:
            at = step // per_shard
            names = dataset.available_shards(work)
            shard = dataset.load_shard(work, names[at % len(names)])
            order = np.random.RandomState(at).permutation(dataset.SHARD)
        pick = np.sort(parallel.share(order[step % per_shard * BATCH:][:BATCH]))
        side = next(side for until, side in SIZES if step < until * steps)
        pixels, target = batch(*shard, pick, side)
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LR * min(1, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))
        parts = losses(head(tower(pixels.contiguous(memory_format=torch.channels_last))), target)
        loss = sum(WEIGHTS[k] * v for k, v in parts.items())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        finish(tower, head, optimizer)
        step += 1
        if step % 25 == 0:
            log(f"tower {step}/{steps} {time.time() - began:.0f}s loss {loss.item():.2f} " +
                " ".join(f"{k} {v.item():.2f}" for k, v in parts.items()))
        if step % 200 == 0 or step == steps:
            save(path, tower, head, optimizer, step)
        if (step % 1000 == 0 or step == steps) and parallel.rank() == 0:
            for name in ("test", "seen"):
                log(f"tower {step} {name} drawings: {accuracy(tower, head, dataset.load_shard(work, name), 200)}")
