#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what the base is fine-tuned on: pictures of training scenes, and conversations about them in LLaVA's form.

  OUT/conversations.jsonl   one conversation a line, for `fastvlm dataset import`
  OUT/pictures/*.png        the pictures, every second one crumpled (crops.crumpled)

Most answers are seven-point captions, to the prompt that `fastvlm caption` uses or to a short one for the same, half of
them behind noisy object tags. Some questions list headings of their own, as `fastvlm caption --schema` does; some are plain and
want one or two sentences, so that the base's answers are kept.
"""
import argparse
import json
import random
from pathlib import Path

from PIL import Image

import captions
import crops
import dataset

WHOLE, OUTLINE, HEADINGS, PLAIN = 0.62, 0.1, 0.14, 0.14         # shares of the questions
BRIEF = "Describe the picture in one short sentence."        # as the page of `fastvlm serve` asks
INTRODUCTIONS = ["Describe the picture under these headings:", "Describe the image as a list:", "Write these points about the picture:"]
WRITERS = dict(zip(captions.SECTIONS, captions.WRITERS))
# Headings of one's own: (title, what else may stand behind it in the question, the answer).
OTHER_HEADINGS = [
    ("Subject", "What is shown?", captions.main_focus), ("Nearby", "What else is there?", captions.surroundings),
    ("Place", "Where is this?", captions.scene_type), ("Mood", "How does it feel?", captions.style),
    ("Time of day", "One of: morning, midday, sunset, night", lambda scene, rng: scene["time"]),
    ("Summary", "One sentence.", captions.short),
]


def headings(scene, rng):
    """-> (question, answer) under one to four headings, the seven titles among them, in any order."""
    known = [(title, rng.choice(["", "What is shown?", "In one sentence."]), write) for title, write in WRITERS.items()]
    chosen = rng.sample(known + OTHER_HEADINGS, rng.randint(1, 4))
    lines = [f"{i + 1}. {title}" + (f" – {what}" if what else "") for i, (title, what, _) in enumerate(chosen)]
    answers = [f"{i + 1}. {title} – {write(scene, rng)}" for i, (title, _, write) in enumerate(chosen)]
    return rng.choice(INTRODUCTIONS) + "\n\n" + "\n".join(lines), "\n".join(answers)


def conversation(scene, rng):
    """-> (question, answer) of a scene."""
    style = rng.choices(["whole", "outline", "headings", "plain", "brief"], [WHOLE, OUTLINE, HEADINGS, PLAIN / 2, PLAIN / 2])[0]
    if style == "headings":
        question, answer = headings(scene, rng)
    elif style == "plain":
        (question, answer), = captions.plain_turns(scene, rng, 1)
    elif style == "brief":
        question, answer = rng.choice([*captions.SHORT_PROMPTS, BRIEF]), captions.short(scene, rng)
    else:
        tags = captions.noisy_tags(scene, rng) if rng.random() < 0.5 else []
        question = captions.tag_block(tags) + (captions.SEVEN_POINT if style == "whole" else captions.OUTLINE)
        answer = captions.seven_point(scene, rng)
    return question, captions.plain(answer)


def write(work, out, shards):
    """The scenes of the first `shards` training shards; pictures that are there already are kept."""
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    lines = []
    for shard in dataset.available_shards(work)[:shards]:
        images, _, graphs = dataset.load_shard(work, shard)
        images = crops.crumpled(images)
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
