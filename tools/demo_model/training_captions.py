#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a caption for each training scene, as JSON lines: what `fastvlm dev learn-drafts` learns from.

The scenes are those that make.py has rendered; none of the evaluation set is among them.
"""
import argparse
import json
import random
from pathlib import Path

import captions
import dataset


def write(work, path):
    with path.open("w") as out:
        for shard in dataset.available_shards(work):
            graphs = json.loads(dataset.shard_path(work, shard, "scenes.json").read_text())
            for i, graph in enumerate(graphs):
                text = captions.plain(captions.seven_point(graph, random.Random(f"{shard} {i}")))
                out.write(json.dumps({"caption": text}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "fastvlm-demo")
    args = parser.parse_args()
    write(args.work, args.out)


if __name__ == "__main__":
    main()
