#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""From the base to models/demo with the program alone: data set, LoRA, merge, 4 bits, drafts.

  tools/demo_model/tune.py [--out DIR] [--work DIR] [--program FILE]

Begins with what make.py left in WORK: the rendered scenes and WORK/base.  Every command is printed as it can be typed;
docs/TRAINING.md walks through them.  What a finished step has written is kept.
"""
import argparse
import shlex
import shutil
import subprocess
from pathlib import Path

import seven_points
import training_captions
from reference import DEMO

PROGRAM = Path(__file__).resolve().parents[2] / "build" / "release" / "fastvlm"
SHARDS = 4                      # training scenes in the data set / 2048
TRAIN = ["--lora-r", "64", "--lora-alpha", "128", "--lora-dropout", "0", "--learning-rate", "2e-3", "--epochs", "1",
         "--batch-size", "8", "--gradient-checkpointing", "0"]


def tune(program, work, out):
    def fastvlm(*arguments):
        print("$ " + shlex.join(["fastvlm", *map(str, arguments)]), flush=True)
        subprocess.run([program, *arguments], check=True, cwd=work)

    def once(folder, last):
        """Whether the step that writes WORK/FOLDER is still to do; without the file written `last` it begins anew."""
        if (work / folder / last).exists():
            return False
        shutil.rmtree(work / folder, ignore_errors=True)
        return True

    if not (work / "scenes" / "conversations.jsonl").exists():
        seven_points.write(work, work / "scenes", SHARDS)
    if once("seven_points", "train.jsonl"):
        fastvlm("dataset", "import", "scenes/conversations.jsonl", "--images", "scenes/pictures", "--split", "0.97,0.03,0", "--out", "seven_points")
    fastvlm("dataset", "check", "seven_points", "--images", "scenes/pictures", "--model", "base")
    if not (work / "run" / "adapter_model.safetensors").exists():
        fastvlm("train", "--model", "base", "--data", "seven_points/train.jsonl", "--eval-data", "seven_points/val.jsonl", "--images", "scenes/pictures",
                "--out", "run", *TRAIN, *(["--resume"] if (work / "run").exists() else []))
    if once("tuned", "config.json"):
        fastvlm("merge", "--model", "base", "--adapter", "run", "--out", "tuned")
    if once("small", "config.json"):
        fastvlm("quantize", "--model", "tuned", "--out", "small", "--bits", "4", "--quantizer", "search", "--verify")
    training_captions.write(work, work / "captions.jsonl")
    fastvlm("dev", "learn-drafts", "--data", "captions.jsonl", "--model", "small", "--out", "small/captions.drafts")
    shutil.copytree(work / "small", out, dirs_exist_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEMO)
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "fastvlm-demo")
    parser.add_argument("--program", type=Path, default=PROGRAM)
    args = parser.parse_args()
    tune(args.program.resolve(), args.work, args.out)


if __name__ == "__main__":
    main()
