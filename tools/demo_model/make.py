#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the demo model from a bare Debian 12, step by step; every step resumes where it stopped.

  apt-get install python3-torch python3-numpy python3-pil libopenblas0-openmp npm librsvg2-bin \\
                  fonts-noto-color-emoji openclipart-svg
  tools/demo_model/make.py [--out DIR] [--work DIR] [--scale X]

Every random choice has a fixed seed.  Meant for two cores: the language model learns from true targets while the tower
learns from pictures, and other phases run in two processes.  --scale multiplies all training steps.
"""
import argparse
import multiprocessing
import shutil
from pathlib import Path

import torch

import dataset
import parallel
import train_lm
import train_tower
from assets import load_icons, load_sprites
from export import export
from reference import DEMO

SHARDS = 8                      # rendered scenes / 2048
FEATURE_SHARDS = 8              # scenes whose tower tokens the language model is trained on / 2048
STEPS = {"crops": 5000, "scenes128": 2000, "scenes256": 2800, "oracle": 2000, "features": 1200, "quant": 300}


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
        raise SystemExit("a training process failed; see above")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEMO)
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "fastvlm-demo")
    parser.add_argument("--scale", type=float, default=1.0)
    args = parser.parse_args()
    if shutil.which("rsvg-convert") is None:
        parser.error("rsvg-convert is missing: apt-get install librsvg2-bin")
    args.work.mkdir(parents=True, exist_ok=True)
    steps = {name: max(1, round(count * args.scale)) for name, count in STEPS.items()}
    work = args.work
    load_icons(work, load_sprites(work))
    painter = start(dataset.render_all, work, SHARDS)
    tower = start(train_tower.train_crops, work, steps["crops"])
    finish(painter)
    language = start(train_lm.train_oracle, work, SHARDS, steps["oracle"])
    finish(tower)
    for side, before in ((128, "crops"), (256, "scenes128")):
        parallel.run(train_tower.train_scenes, work, side, before, steps[f"scenes{side}"])
    finish(language)
    parallel.run(train_lm.cache_features, work, dataset.available_shards(work)[:FEATURE_SHARDS])
    parallel.run(train_lm.train_features, work, FEATURE_SHARDS, "features", "oracle", steps["features"], 1.5e-3, False)
    parallel.run(train_lm.train_features, work, FEATURE_SHARDS, "quant", "features", steps["quant"], 3e-4, True)
    export(work, args.out, "quant")


if __name__ == "__main__":
    main()
