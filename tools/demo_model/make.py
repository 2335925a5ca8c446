#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the demo model from a bare Debian 12, step by step; every step resumes where it stopped.

  apt-get install python3-torch python3-numpy python3-pil libopenblas0-openmp npm librsvg2-bin \\
                  fonts-noto-color-emoji openclipart-svg
  tools/demo_model/make.py [--out DIR] [--work DIR] [--scale X] [--tower FILE] [--program FILE]

In PyTorch a tower and a base that answers plain questions; then tune.py, with fastvlm alone: the base learns the seven points,
adapter and base are merged and brought to 4 bits.

Every random choice has a fixed seed.  Meant for two cores: most phases run in two processes.  --scale multiplies all training steps.  --tower takes
a tower of an earlier run (models/demo/vision_tower.safetensors) instead of training one, which takes most of the time.
"""
import argparse
import multiprocessing
import shutil
from pathlib import Path

import torch

import crops
import dataset
import parallel
import train_lm
import train_tower
import tune
from assets import load_concepts, load_icons, load_sprites
from export import export, write_tower
from reference import DEMO

SHARDS = 12                     # rendered scenes / 2048
FEATURE_SHARDS = 8              # scenes whose tower tokens the language model is trained on / 2048
STEPS = {"crops": 8500, "scenes128": 1500, "scenes256": 3600, "base": 4500}


def start(function, *arguments):
    """Runs a function in a process of its own, on one core."""
    process = multiprocessing.Process(target=single, args=(function, *arguments), daemon=True)
    process.start()
    return process


def single(function, *arguments):
    torch.set_num_threads(1)
    function(*arguments)


def finish(process):
    process.join()
    if process.exitcode != 0:
        raise SystemExit("a process failed; see above")


def train_new_tower(work, steps, painter):
    """Leaves WORK/vision_tower.safetensors; learns from crops while the scenes are still painted."""
    parallel.run(train_tower.train_crops, work, steps["crops"])
    finish(painter)
    for side, before in ((128, "crops"), (256, "scenes128")):
        parallel.run(train_tower.train_scenes, work, side, before, steps[f"scenes{side}"])
    write_tower(work)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEMO)
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "fastvlm-demo")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--tower", type=Path)
    parser.add_argument("--program", type=Path, default=tune.PROGRAM)
    args = parser.parse_args()
    for name, package in (("rsvg-convert", "librsvg2-bin"), ("npm", "npm")):
        if shutil.which(name) is None:
            parser.error(f"{name} is missing: apt-get install {package}")
    if shutil.which(args.program) is None:
        parser.error(f"{args.program} is missing: cmake --preset release && cmake --build --preset release")
    args.work.mkdir(parents=True, exist_ok=True)
    steps = {name: max(1, round(count * args.scale)) for name, count in STEPS.items()}
    sprites = load_sprites(args.work)
    if args.tower is None:
        load_icons(args.work, sprites)
        load_concepts(args.work, sprites)
        crops.backgrounds(args.work)
    painter = start(dataset.render_all, args.work, SHARDS)
    if args.tower is None:
        train_new_tower(args.work, steps, painter)
    else:
        finish(painter)
        shutil.copyfile(args.tower, args.work / "vision_tower.safetensors")
    parallel.run(train_lm.cache_features, args.work, dataset.available_shards(args.work)[:FEATURE_SHARDS])
    train_lm.tokenizer_of(args.work)
    parallel.run(train_lm.train_base, args.work, FEATURE_SHARDS, steps["base"])
    export(args.work, args.work / "base")
    tune.tune(args.program.resolve(), args.work, args.out)


if __name__ == "__main__":
    main()
