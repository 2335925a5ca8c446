#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Quality of the exported model on 500 unseen scenes, beside the same model without the image.

Unseen: compositions that were never trained on, painted only with drawings held out from training.
The no-image baseline replaces every image token by the mean token of the test scenes.
"""
import argparse
import json
import random
import re
from collections import Counter
from pathlib import Path

import torch

import captions
import dataset
import scenes
from kinds import KINDS
from model import greedy
from reference import DEMO, Reference

NEAR = 1 / 16                   # of a picture's width
HEADING = re.compile(r"^([1-7])\. (.+?) – (.*)$")
NAMES = {}
for kind in KINDS:
    NAMES[kind.name] = NAMES[kind.plural] = kind.name
NAME_PATTERN = re.compile(r"\b(" + "|".join(sorted(map(re.escape, NAMES), key=len, reverse=True)) + r")\b", re.I)
ROWS = ["main object named", "position right", "scene right", "time of day right", "seven sections complete", "all four facts",
        "main count right", "other objects found", "other objects right", "relations right", "weather right"]


def sections(text):
    """Caption -> list of seven texts, or None unless all headings stand in order and none is empty."""
    found = [HEADING.match(line) for line in text.strip().split("\n")]
    if len(found) != 7 or not all(found):
        return None
    good = all(m.group(1) == str(i + 1) and m.group(2) == captions.SECTIONS[i] and m.group(3).strip() for i, m in enumerate(found))
    return [m.group(3) for m in found] if good else None


def kinds_in(text):
    """Kinds named in a text, in order of appearance."""
    return [NAMES[m.group(1).lower()] for m in NAME_PATTERN.finditer(text)]


def only(words, text):
    """The one word of `words` that stands in the text, or None when there is none or more than one."""
    found = [w for w in words if re.search(rf"\b{w}\b", text)]
    return found[0] if len(found) == 1 else None


def score(graph, text):
    """Caption against its scene graph -> {row: (hits, chances)}."""
    parts = sections(text)
    out = {row: [0, 1] for row in ROWS}
    main, others = graph["objects"][0], graph["objects"][1:]
    first, around, where, _, setting = (parts or [""] * 7)[:5]
    out["seven sections complete"][0] = int(parts is not None)
    named = kinds_in(first)
    out["main object named"][0] = int(named[:1] == [main["kind"]])
    out["position right"][0] = int(only(scenes.THIRDS, first) == main["third"])
    out["scene right"][0] = int(only(scenes.PLACES, setting) == graph["place"])
    out["time of day right"][0] = int(only(scenes.TIMES, setting) == graph["time"])
    out["all four facts"][0] = int(all(out[r][0] for r in ROWS[:4]))
    count = 3 if re.search(r"\bthree\b", first, re.I) else 2 if re.search(r"\btwo\b", first, re.I) else 1
    out["main count right"][0] = int(count == main["count"])
    told, true = set(kinds_in(around)), {o["kind"] for o in others}
    out["other objects found"] = [len(told & true), len(true)]
    out["other objects right"] = [len(told & true), len(told)]
    phrases = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below", "behind": "behind"}
    out["relations right"] = [0, len(others)]
    for obj in others:
        tail = re.search(rf"\b{re.escape(captions.noun(obj))} (?:is|are) (.*?)(?:,| and|\.|$)", where, re.I)
        out["relations right"][0] += int(bool(tail) and phrases[obj["relation"]] in tail.group(1))
    sky = graph["weather"]
    out["weather right"] = [int(bool(re.search({"clear": "clear", "cloudy": "cloud", "rainy": "rain", "snowy": "snowy sky|falling snow"}.get(sky, "^"), setting))),
                            1] if sky != "none" else [0, 0]
    return out


def questions(graphs, tagged):
    """The prompt of each scene, with noisy object tags in half of them if `tagged`; {question: [scene index]}."""
    groups = {}
    for i, graph in enumerate(graphs):
        tags = captions.noisy_tags(graph, random.Random(i)) if tagged and i % 2 else []
        groups.setdefault(captions.tag_block(tags) + captions.SEVEN_POINT, []).append(i)
    return groups


def caption_all(model, image_tokens, graphs, tagged=True):
    """Greedy captions [n]; scenes with the same prompt length are decoded together."""
    by_length = {}
    for question, members in questions(graphs, tagged).items():
        by_length.setdefault(len(model.prompt_ids(question)[1]), []).extend((i, question) for i in members)
    out = [""] * len(graphs)
    for group in by_length.values():
        for at in range(0, len(group), 50):
            part = group[at:at + 50]
            inputs = torch.cat([model.embeddings(image_tokens[i:i + 1], q) for i, q in part])
            for (i, _), ids in zip(part, greedy(model.lm, inputs, model.config["eos_token_id"], 256)):
                out[i] = model.tokenizer.decode(ids)
    return out


def percent(graphs, texts):
    total = {row: [0, 0] for row in ROWS}
    for graph, text in zip(graphs, texts):
        for row, (hit, chance) in score(graph, text).items():
            total[row][0] += hit
            total[row][1] += chance
    return {row: 100 * hit / max(1, chance) for row, (hit, chance) in total.items()}


def print_misses(graphs, texts):
    """Where the first rows go wrong: kinds, places, and positions by how near the border of a third the main object is."""
    kinds, places, near = Counter(), Counter(), {True: [0, 0], False: [0, 0]}
    for graph, text in zip(graphs, texts):
        main, hits = graph["objects"][0], score(graph, text)
        kinds[main["kind"]] += not hits["main object named"][0]
        told = only(scenes.PLACES, (sections(text) or [""] * 7)[4])
        places[f"{graph['place']} called {told}"] += told != graph["place"]
        middle = (main["box"][0] + main["box"][2]) / 2
        row = near[min(abs(middle - 1 / 3), abs(middle - 2 / 3)) < NEAR]
        row[0] += hits["position right"][0]
        row[1] += 1
    every = Counter(graph["objects"][0]["kind"] for graph in graphs)
    print("main object missed:", ", ".join(f"{kind} {n} of {every[kind]}" for kind, n in kinds.most_common(10)), f"; {kinds.total()} in all")
    print("place missed:", ", ".join(f"{pair} {n}" for pair, n in places.most_common(4)), f"; {places.total()} in all")
    for close, (right, count) in near.items():
        print(f"position right, main object {'less' if close else 'more'} than {NEAR} of the width from a third's border: "
              f"{100 * right / max(1, count):.1f} % of {count}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "fastvlm-demo")
    parser.add_argument("--model", type=Path, default=DEMO)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--show", type=int, default=0, help="print this many captions")
    parser.add_argument("--misses", action="store_true", help="print where the first rows go wrong")
    parser.add_argument("--quick", action="store_true", help="unseen drawings only, no baseline")
    args = parser.parse_args()
    dataset.render_all(args.work, 0)
    model = Reference(args.model)
    columns = {}
    for split, title in (("test", "unseen drawings"), ("seen", "seen drawings")):
        images, _, graphs = dataset.load_shard(args.work, split)
        graphs = graphs[:args.count]
        tokens = torch.cat([model.image_tokens(images[at:min(at + 25, len(graphs))]) for at in range(0, len(graphs), 25)])
        texts = caption_all(model, tokens, graphs)
        columns[title] = percent(graphs, texts)
        for graph, text in list(zip(graphs, texts))[:args.show]:
            print(json.dumps({"place": graph["place"], "time": graph["time"], "weather": graph["weather"],
                              "objects": [(o["kind"], o["count"], o["third"], o["relation"]) for o in graph["objects"]]}), text, sep="\n")
        if args.misses:
            print(title)
            print_misses(graphs, texts)
        if args.quick:
            break
        if split == "test":
            columns["unseen, no tags"] = percent(graphs, caption_all(model, tokens, graphs, tagged=False))
            blind = tokens.mean((0, 1), keepdim=True).expand_as(tokens)
            columns["no image"] = percent(graphs, caption_all(model, blind, graphs))
    print(f"| {len(graphs)} scenes, greedy, seven-point prompt, tags in half | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for row in ROWS:
        print(f"| {row} | " + " | ".join(f"{column[row]:.1f} %" for column in columns.values()) + " |")


if __name__ == "__main__":
    main()
