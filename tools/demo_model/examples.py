#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Paints the example scenes: unseen compositions of held-out drawings.

Each example is the first scene, counting seeds from FIRST_SEED, that fits its line in WISHES; whether the model
captions it well plays no part.
"""
import argparse
import json
import random
from pathlib import Path

import captions
import scenes
from assets import load_sprites

FOLDER = Path(__file__).resolve().parents[2] / "examples"
FIRST_SEED = 500_000
WISHES = {                      # file name -> main kind, least count, place, time, weather (None: any)
    "butterfly-forest-night": ("butterfly", 1, "forest", "night", None),
    "cakes-bedroom": ("cake", 2, "bedroom", None, None),
    "cat-city-midday": ("cat", 1, "city street", "midday", None),
    "fish-underwater": ("fish", 1, "underwater", None, None),
    "giraffe-desert": ("giraffe", 1, "desert", None, None),
    "horse-park-rain": ("horse", 1, "park", None, "rainy"),
    "house-forest": ("house", 1, "forest", None, None),
    "pizza-kitchen": ("pizza", 1, "kitchen", None, None),
    "roosters-farm-sunset": ("rooster", 2, "farm field", "sunset", None),
    "strawberry-farm": ("strawberry", 1, "farm field", None, None),
    "truck-snow": ("truck", 1, "snowy mountain", None, "snowy"),
    "umbrellas-park-sunset": ("umbrella", 2, "park", "sunset", None)}
SHARE_ALIKE = ("openmoji/", "emojione-v1/")     # pictures with these could not carry this project's licence


def free_drawings(sprites):
    """Test drawings whose licence lets the pictures be passed on with this project."""
    index = scenes.index_sprites(sprites)["test"]
    return {"test": {kind: [e for e in entries if not e[1].source.startswith(SHARE_ALIKE)] for kind, entries in index.items()}}


def find_scenes(table):
    """-> {file name: scene graph} for every wish; no scene serves twice."""
    found, seed = {}, FIRST_SEED
    while len(found) < len(WISHES):
        graph = scenes.random_scene(seed, table, "test")
        main, seed = graph["objects"][0], seed + 1
        for name, (kind, count, place, time, weather) in WISHES.items():
            fits = main["kind"] == kind and main["count"] >= count and graph["place"] == place
            if name not in found and fits and time in (None, graph["time"]) and weather in (None, graph["weather"]) \
                    and len(graph["objects"]) > 1:
                found[name] = graph
                break
    return found


def description(graph, rng):
    """The JSON beside a picture: objects with pixel boxes, place, time, weather, tags and a reference caption."""
    w, h = graph["width"], graph["height"]
    objects = []
    for number, obj in enumerate(graph["objects"]):
        for box in scenes.member_boxes(obj, None):
            pixels = [round(v * s, 1) for v, s in zip(box, (w, h, w, h))]
            objects.append({"label": obj["kind"], "box_xyxy": pixels, "confidence": round(0.97 - 0.05 * number, 2),
                            "third": scenes.third_of((box[0] + box[2]) / 2), "main": number == 0})
    return {"width": w, "height": h, "main": captions.noun(graph["objects"][0]), "place": graph["place"], "time": graph["time"], "weather": graph["weather"], "objects": objects,
            "tags": captions.tag_block([(o["label"], o["third"]) for o in objects]).strip(),
            "caption": captions.plain(captions.seven_point(graph, rng))}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "fastvlm-demo")
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sprites = load_sprites(args.work)
    table = free_drawings(sprites)
    for name, graph in sorted(find_scenes(table).items()):
        image, _ = scenes.paint_scene(graph, sprites, detail=2)
        image.save(args.out / f"{name}.jpg", quality=93, subsampling=0)
        text = json.dumps(description(graph, random.Random(name)), indent=1, ensure_ascii=False)
        (args.out / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
