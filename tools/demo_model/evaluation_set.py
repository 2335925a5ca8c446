#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the 500 unseen scenes as a set for `fastvlm evaluate --data`.

  OUT/captions.json   COCO captions: seven-point references written from each scene's graph, with different words
  OUT/tags.json       what a weak detector would say of each picture
  OUT/scenes.json     the scene graphs by file name
  OUT/*.png           the pictures
"""
import argparse
import json
import random
from pathlib import Path

from PIL import Image

import captions
import dataset

REFERENCES = 5


def picture_name(number):
    return f"scene{number:03d}.png"


def write(work, out):
    dataset.render_all(work, 0)
    images, _, graphs = dataset.load_shard(work, "test")
    out.mkdir(parents=True, exist_ok=True)
    entries, annotations, tags = [], [], []
    for i, graph in enumerate(graphs):
        name = picture_name(i)
        Image.fromarray(images[i]).save(out / name)
        entries.append({"id": i, "file_name": name, "width": images.shape[2], "height": images.shape[1]})
        rng = random.Random(f"references of scene {i}")
        for _ in range(REFERENCES):
            annotations.append({"id": len(annotations), "image_id": i, "caption": captions.plain(captions.seven_point(graph, rng))})
        seen = captions.noisy_tags(graph, random.Random(i))
        tags.append({"image": name, "tags": [f"{label} ({third})" for label, third in seen]})
    (out / "tags.json").write_text(json.dumps(tags))
    (out / "scenes.json").write_text(json.dumps({picture_name(i): graph for i, graph in enumerate(graphs)}))
    # Last, so that a set with this file is whole.
    (out / "captions.json").write_text(json.dumps({"images": entries, "annotations": annotations}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "fastvlm-demo")
    args = parser.parse_args()
    write(args.work, args.out)


if __name__ == "__main__":
    main()
