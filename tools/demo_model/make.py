#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the demo model from a bare Debian 12, step by step; every step resumes where it stopped.

  apt-get install python3-torch python3-numpy python3-pil libopenblas0-openmp npm librsvg2-bin \\
                  fonts-noto-color-emoji openclipart-svg
  tools/demo_model/make.py [--out DIR] [--work DIR] [--workers N] [--scale X]

The seed is fixed.  Sums of gradients depend on the number of workers, so bit-equal repetition needs the
same --workers; --scale multiplies all training steps.
"""
import argparse
import shutil
from pathlib import Path

import dataset
import parallel
import train_lm
import train_tower
from export import export
from reference import DEMO

SHARDS = 20                     # rendered scenes / 2048
FEATURE_SHARDS = 8              # scenes whose tower tokens the language model is trained on / 2048
STEPS = {"crops": 6000, "scenes": 8000, "oracle": 1500, "features": 4000, "quant": 600}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEMO)
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "fastvlm-demo")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0)
    args = parser.parse_args()
    if shutil.which("rsvg-convert") is None:
        parser.error("rsvg-convert is missing: apt-get install librsvg2-bin")
    args.work.mkdir(parents=True, exist_ok=True)
    steps = {name: max(1, round(count * args.scale)) for name, count in STEPS.items()}
    work, workers = args.work, args.workers
    dataset.render_all(work, SHARDS)
    parallel.run(workers, train_tower.train_crops, work, steps["crops"])
    parallel.run(workers, train_tower.train, work, steps["scenes"])
    parallel.run(workers, train_lm.train_oracle, work, SHARDS, steps["oracle"])
    train_lm.cache_features(work, dataset.available_shards(work)[:FEATURE_SHARDS])
    parallel.run(workers, train_lm.train_features, work, FEATURE_SHARDS, "features", "oracle", steps["features"], 1.5e-3, False)
    parallel.run(workers, train_lm.train_features, work, FEATURE_SHARDS, "quant", "features", steps["quant"], 3e-4, True)
    export(work, args.out, "quant")


if __name__ == "__main__":
    main()
