#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what the base is fine-tuned on: pictures of training scenes, and conversations about them in LLaVA's form.

  OUT/conversations.jsonl   one conversation a line, for `fastvlm dataset import`
  OUT/pictures/*.png        the pictures

Most answers are seven-point captions, to the prompt that `fastvlm caption` uses or to a short one for the same, half of
them behind noisy object tags; some questions are plain and want one or two sentences, so that the base's answers are kept.
"""
import argparse
import json
import random
from pathlib import Path

from PIL import Image

import captions
import dataset

STYLES = {captions.SEVEN_POINT: 0.72, captions.OUTLINE: 0.1, None: 0.18}  # None: plain
BRIEF = "Describe the picture in one short sentence."        # as the page of `fastvlm serve` asks


def conversation(graph, rng):
    """-> (question, answer) of a scene."""
    prompt = rng.choices(list(STYLES), list(STYLES.values()))[0]
    if prompt is None and rng.random() < 0.5:
        return rng.choice([*captions.SHORT_PROMPTS, BRIEF]), captions.plain(captions.short(graph, rng))
    if prompt is None:
        (question, answer), = captions.plain_turns(graph, rng, 1)
        return question, captions.plain(answer)
    tags = captions.noisy_tags(graph, rng) if rng.random() < 0.5 else []
    return captions.tag_block(tags) + prompt, captions.plain(captions.seven_point(graph, rng))


def write(work, out, shards):
    """The scenes of the first `shards` training shards; pictures that are there already are kept."""
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    lines = []
    for shard in dataset.available_shards(work)[:shards]:
        images, _, graphs = dataset.load_shard(work, shard)
        for i, graph in enumerate(graphs):
            name = f"{shard}-{i:04d}.png"
            question, answer = conversation(graph, random.Random(f"conversation {name}"))
            turns = [{"from": "human", "value": "<image>\n" + question}, {"from": "gpt", "value": answer}]
            lines.append(json.dumps({"id": name[:-len(".png")], "image": name, "conversations": turns}, ensure_ascii=False))
            if not (out / "pictures" / name).exists():
                Image.fromarray(images[i]).save(out / "pictures" / name, compress_level=1)
    # Last, so that a set with this file is whole.
    (out / "conversations.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "fastvlm-demo")
    parser.add_argument("--shards", type=int, default=1, help="of 2048 scenes each")
    args = parser.parse_args()
    write(args.work, args.out, args.shards)


if __name__ == "__main__":
    main()
