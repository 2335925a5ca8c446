# SPDX-License-Identifier: Apache-2.0
"""Trains the tower; the linear heads are thrown away afterwards.

First on small crops of single drawings (cheap, many drawings per second), of the kinds and of some nine hundred other things that
several emoji vendors drew: from these the tower learns how hands differ.  Then on whole scenes with dense
targets per token, at half size and at full size.  Every token must tell which kinds its cell shows, and the whole
scene: main kind, its third and count, place, time, weather, and its own row and column.  The language model then finds
all facts in any token.  What is kept is a running average of the weights.
"""
import copy
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import crops
import dataset
import parallel
from assets import load_concepts, load_icons, load_sprites
from kinds import KINDS
from model import FEATURES, Tower
from parallel import log

CROP_BATCH = {"drawings": 96, "icons": 32, "concepts": 128}
CROP_LR, BENT_FROM = 3e-3, 0.2
PEAK_LR, WARM_UP, COOL_DOWN, WEIGHT_DECAY = 2e-3, 100, 0.4, 0.03
AVERAGE = {"crops": 0.998, "scenes128": 0.998, "scenes256": 0.99}
STRIDE = 32                     # of the tower
SCENE_BEND = 0.6                # scenes are bent less than crops, so that objects stay in their cells
BATCH = {128: 32, 256: 16}      # scenes, by side of the input
SCENE_CROPS = {128: 32, 256: 8} # drawings, and as many icons and concepts, beside a batch of scenes
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


def batch(images, coverage, graphs, pick, side=256, seed=None):
    """Rows `pick` of a shard -> pixels f32 [n,3,side,side], targets f32 [n,(side/32)^2,TARGET_WIDTH].

    With a seed half of the pictures are mirrored, their colours change and they are bent a little.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(images[pick])).permute(0, 3, 1, 2).float() / 255
    covers, third = coverage[pick], dataset.SLICES["third"]
    if side != pixels.shape[-1]:
        pixels = F.avg_pool2d(pixels, pixels.shape[-1] // side)
        n, objects, old, grid = *covers.shape[:3], side // STRIDE
        covers = covers.reshape(n, objects, grid, old // grid, grid, old // grid).mean((3, 5))
    mirrored = np.zeros(len(pick), bool)
    if seed is not None:
        rng = np.random.RandomState(seed)
        mirrored = rng.rand(len(pick)) < 0.5
        pixels[mirrored] = pixels[mirrored].flip(-1)
        covers = np.where(mirrored[:, None, None, None], covers[..., ::-1], covers)
        gain = rng.uniform(0.9, 1.1, (len(pick), 3, 1, 1)) * rng.uniform(0.85, 1.1, (len(pick), 1, 1, 1))
        pixels = (pixels * torch.from_numpy(gain.astype(np.float32))).clamp(max=1)
        still = F.affine_grid(torch.eye(2, 3).expand(len(pick), 2, 3), pixels.shape, align_corners=False)
        moves = crops.bend(len(pick), side, torch.Generator().manual_seed(seed)) * SCENE_BEND
        pixels = F.grid_sample(pixels, still + moves, padding_mode="border", align_corners=False)
    target = dataset.targets([graphs[i] for i in pick], covers)
    target[mirrored, :, third] = target[mirrored, :, third][..., ::-1]
    return pixels.contiguous(memory_format=torch.channels_last), torch.from_numpy(target)


@torch.no_grad()
def accuracy(tower, head, shard, count=500, side=256):
    """Share of scenes whose mean prediction over tokens is right: {main, third, place, time, weather, count}."""
    images, coverage, graphs = shard
    right, total = {}, 0
    tower.eval()
    for at in range(0, min(count, len(graphs)), 25):
        pixels, target = batch(images, coverage, graphs, np.arange(at, min(at + 25, len(graphs))), side)
        out = head(tower(pixels))[..., 1:].mean(1)
        for name in ("main", "third", "count", "place", "time", "weather"):
            part = dataset.SLICES[name]
            hit = (out[:, part].argmax(-1) == target[:, 0, part].argmax(-1)).sum().item()
            right[name] = right.get(name, 0) + hit
        total += len(pixels)
    return {name: round(hit / total, 3) for name, hit in right.items()}


class Training:
    """Tower, heads, optimiser and running average of one phase, with its state in WORK/NAME.pt."""

    def __init__(self, work, name, rate, steps, names, start=None):
        """names: how many things crops show; start: the phase whose average this one begins with."""
        torch.manual_seed(1)
        self.net = nn.ModuleDict({"tower": Tower(), "head": nn.Linear(FEATURES, 1 + dataset.TARGET_WIDTH), "names": nn.Linear(FEATURES, names)})
        self.net = self.net.to(memory_format=torch.channels_last)
        self.path, self.rate, self.steps, self.step = work / f"{name}.pt", rate, steps, 0
        if start is not None:
            self.net.load_state_dict(torch.load(work / f"{start}.pt")["average"])
        self.average = copy.deepcopy(self.net)
        decay = [p for p in self.net.parameters() if p.dim() > 1]
        other = [p for p in self.net.parameters() if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": WEIGHT_DECAY}, {"params": other, "weight_decay": 0.0}], rate)
        if self.path.exists():
            state = torch.load(self.path)
            self.net.load_state_dict(state["net"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
        self.began, self.total = time.time(), []

    def update(self, loss):
        """One step on the loss; logs and saves now and then."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * min(1, (self.step + 1) / WARM_UP, 0.01 + (1 - self.step / self.steps) / COOL_DOWN)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parallel.average_gradients([p for p in self.net.parameters() if p.grad is not None])
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        with torch.no_grad():
            keep = min(AVERAGE[self.path.stem], self.step / (self.step + 10))
            for mean, value in zip(self.average.state_dict().values(), self.net.state_dict().values()):
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - keep)
        self.total.append(loss.item())
        if self.step % 50 == 0:
            log(f"{self.path.stem} {self.step}/{self.steps} {time.time() - self.began:.0f}s loss {np.mean(self.total):.3f}")
            self.total = []
        if (self.step % 100 == 0 or self.step == self.steps) and parallel.rank() == 0:
            state = {"net": self.net.state_dict(), "average": self.average.state_dict(), "optimizer": self.optimizer.state_dict(),
                     "step": self.step}
            torch.save(state, self.path.with_suffix(".part"))
            self.path.with_suffix(".part").replace(self.path)


@torch.no_grad()
def crop_accuracy(net, sets):
    """{split: (pixels, kinds)} -> {split: share of kinds that are right}."""
    net.eval()
    out = {}
    for split, (pixels, kinds) in sets.items():
        hits = [net["head"](net["tower"](x).mean(1))[:, 1:][:, dataset.SLICES["main"]].argmax(-1) == y
                for x, y in zip(pixels.split(128), kinds.split(128))]
        out[split] = round(torch.cat(hits).float().mean().item(), 3)
    return out


def remember_statistics(net, on):
    """Whether the running means of BatchNorm follow what is seen in training."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1 if on else 0.0


def crop_loss(net, pixels, names):
    """From the mean over tokens: the thing among all, and of a kind also the kind as main object and as the one in its cells."""
    mean = net["tower"](pixels).mean(1)
    known = names < len(KINDS)
    out = net["head"](mean[known])[:, 1:]
    loss = F.cross_entropy(net["names"](mean), names, label_smoothing=0.1)
    return loss + sum(F.cross_entropy(out[:, dataset.SLICES[name]], names[known], label_smoothing=0.1) for name in ("main", "cell"))


class Crops:
    """Random crops of the training drawings of the kinds, of icons of the kinds, and of other things."""

    def __init__(self, work):
        sprites, self.patches = load_sprites(work), crops.backgrounds(work)
        sources = {"drawings": [s for s in sprites if s.split == "train"], "icons": load_icons(work, sprites),
                   "concepts": load_concepts(work, sprites)}
        self.atlases = {name: crops.Atlas(part, self.patches) for name, part in sources.items()}
        self.unseen = [s for s in sprites if s.split == "test"]
        self.names = 1 + max(s.kind for s in sources["concepts"])

    def batch(self, counts, step, bent):
        """This process's share of {source: count} -> pixels, names."""
        parts = [atlas.batch(counts[name] // parallel.WORKERS, 10_000_000 * (i + 1) + 10 * step + parallel.rank(), bent)
                 for i, (name, atlas) in enumerate(self.atlases.items())]
        return tuple(torch.cat(part) for part in zip(*parts))


def train_crops(work, steps):
    """Teaches the kinds and other things on crops of drawings, soon on bent ones; state in WORK/crops.pt."""
    source = Crops(work)
    run = Training(work, "crops", CROP_LR, steps, source.names)
    sets = {"held-out": crops.Atlas(source.unseen, source.patches).batch(1280, 7), "trained": source.atlases["drawings"].batch(1280, 7)}
    while run.step < steps:
        run.net.train()
        run.update(crop_loss(run.net, *source.batch(CROP_BATCH, run.step, bent=run.step >= BENT_FROM * steps)))
        if (run.step % 500 == 0 or run.step == steps) and parallel.rank() == 0:
            log(f"crops {run.step}: {crop_accuracy(run.average, sets)}")


def train_scenes(work, side, start, steps):
    """Trains on scenes with inputs of `side` pixels and on bent crops of drawings and icons.

    Begins with the average of phase `start`; state in WORK/scenesSIDE.pt.
    """
    source = Crops(work)
    run = Training(work, f"scenes{side}", PEAK_LR if side < 256 else PEAK_LR / 2, steps, source.names, start)
    shards = [dataset.load_shard(work, name) for name in dataset.available_shards(work)]
    per_shard = dataset.SHARD // BATCH[side]
    while run.step < steps:
        at, part = divmod(run.step, per_shard)
        order = np.random.RandomState(at).permutation(dataset.SHARD)
        pick = np.sort(parallel.share(order[part * BATCH[side]:][:BATCH[side]]))
        dice = 10 * run.step + parallel.rank()
        pixels, target = batch(*shards[at % len(shards)], pick, side, seed=dice)
        run.net.train()
        parts = losses(run.net["head"](run.net["tower"](pixels)), target)
        remember_statistics(run.net, False)         # those of scenes are kept
        extra = crop_loss(run.net, *source.batch(dict.fromkeys(source.atlases, SCENE_CROPS[side]), run.step, bent=True))
        remember_statistics(run.net, True)
        run.update(sum(WEIGHTS[k] * v for k, v in parts.items()) + extra)
        if run.step == steps and parallel.rank() == 0:
            for name in ("test", "seen"):
                shard = dataset.load_shard(work, name)
                log(f"{run.path.stem} {name} drawings: {accuracy(run.average['tower'], run.average['head'], shard, 250, side)}")
