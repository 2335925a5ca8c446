# SPDX-License-Identifier: Apache-2.0
"""Scenes rendered to disk in shards, and the dense targets that the tower learns from.

Shard files in WORK/data: NAME_images.npy u8 [n,256,256,3], NAME_coverage.npy u8 [n,MAX_OBJECTS,8,8]
(share of the cell times 255) and NAME_scenes.json (scene graphs).
"""
import json
import os

import numpy as np

import scenes
from assets import load_sprites
from kinds import BY_NAME, KINDS

SHARD = 2048
TRAIN_SEED, TEST_SEED, SEEN_SEED = 10_000_000, 80_000_000, 90_000_000
MAX_COUNT = 3

# Layout of the target vector of one tower cell: name -> width.
TARGETS = {"cell": len(KINDS), "main_here": 1, "main": len(KINDS), "third": 3, "count": MAX_COUNT,
           "place": len(scenes.PLACES), "time": len(scenes.TIMES), "weather": len(scenes.WEATHERS),
           "present": len(KINDS), "many": len(KINDS), "row": scenes.GRID, "column": scenes.GRID}
TARGET_WIDTH = sum(TARGETS.values())
ONE_HOT = ["main", "third", "count", "place", "time", "weather", "row", "column"]      # the rest is multi-label


def slices():
    """name -> slice into the target vector."""
    at, out = 0, {}
    for name, width in TARGETS.items():
        out[name] = slice(at, at + width)
        at += width
    return out


SLICES = slices()


def targets(graphs, coverage):
    """Scene graphs and coverage u8 [n,MAX_OBJECTS,g,g] -> targets f32 [n,g*g,TARGET_WIDTH] in 0..1.

    g is 8; a smaller grid (for a smaller tower input) uses the nearest of the 8 rows and columns.
    """
    grid = coverage.shape[-1]
    cells = grid * grid
    out = np.zeros((len(graphs), cells, TARGET_WIDTH), np.float32)
    share = coverage.reshape(len(graphs), scenes.MAX_OBJECTS, cells).astype(np.float32) / 255
    for n, graph in enumerate(graphs):
        for i, obj in enumerate(graph["objects"]):
            kind = BY_NAME[obj["kind"]].index
            seen = share[n, i] >= min(0.3, 0.6 * share[n, i].max() + 1e-6)
            out[n, seen, SLICES["cell"].start + kind] = 1
            out[n, :, SLICES["present"].start + kind] = 1
            if obj["count"] > 1:
                out[n, :, SLICES["many"].start + kind] = 1
            if i == 0:
                out[n, seen, SLICES["main_here"].start] = 1
                out[n, :, SLICES["main"].start + kind] = 1
                out[n, :, SLICES["third"].start + scenes.THIRDS.index(obj["third"])] = 1
                out[n, :, SLICES["count"].start + obj["count"] - 1] = 1
        for name, values in (("place", scenes.PLACES), ("time", scenes.TIMES), ("weather", scenes.WEATHERS)):
            out[n, :, SLICES[name].start + values.index(graph[name])] = 1
    index = np.arange(cells)
    nearest = np.rint((np.arange(grid) + 0.5) * scenes.GRID / grid - 0.5).astype(int)
    out[:, index, SLICES["row"].start + nearest[index // grid]] = 1
    out[:, index, SLICES["column"].start + nearest[index % grid]] = 1
    return out


def shard_path(work, name, what):
    return work / "data" / f"{name}_{what}"


def render_shard(work, name, seeds, split, sprites=None):
    """Renders the scenes of `seeds`; does nothing when the shard exists already."""
    done = shard_path(work, name, "scenes.json")
    if done.exists():
        return
    (work / "data").mkdir(parents=True, exist_ok=True)
    sprites = sprites or load_sprites(work)
    index = scenes.index_sprites(sprites)
    graphs, covers = [], []
    images = np.lib.format.open_memmap(shard_path(work, name, "images.npy"), "w+", np.uint8,
                                       (len(seeds), scenes.SIDE, scenes.SIDE, 3))
    for i, seed in enumerate(seeds):
        graph = scenes.random_scene(seed, index, split)
        images[i], cover = scenes.render(graph, sprites)
        graphs.append(graph)
        covers.append((cover * 255).round().astype(np.uint8))
    images.flush()
    np.save(shard_path(work, name, "coverage.npy"), np.stack(covers))
    part = done.with_suffix(".part")
    part.write_text(json.dumps(graphs))
    os.replace(part, done)


def render_all(work, shards):
    """Test, seen and training shards; what is on disk already is kept."""
    sprites = load_sprites(work)
    render_shard(work, "test", range(TEST_SEED, TEST_SEED + 500), "test", sprites)
    render_shard(work, "seen", range(SEEN_SEED, SEEN_SEED + 500), "train", sprites)
    for k in range(shards):
        start = TRAIN_SEED + k * SHARD
        render_shard(work, f"train{k:03d}", range(start, start + SHARD), "train", sprites)
        print(f"rendered shard {k + 1} of {shards}", flush=True)


def load_shard(work, name):
    """(images u8 memory map [n,256,256,3], coverage u8 [n,MAX_OBJECTS,8,8], graphs)."""
    return (np.load(shard_path(work, name, "images.npy"), mmap_mode="r"), np.load(shard_path(work, name, "coverage.npy")),
            json.loads(shard_path(work, name, "scenes.json").read_text()))


def available_shards(work):
    """Names of the finished training shards."""
    return sorted(p.name[:-len("_scenes.json")] for p in (work / "data").glob("train*_scenes.json"))
