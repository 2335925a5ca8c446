#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Paints the example scenes: unseen compositions of held-out drawings from Noto and openclipart only."""
import argparse
import json
import random
from pathlib import Path

import captions
import scenes
from assets import load_sprites

FOLDER = Path(__file__).resolve().parents[2] / "examples"
SEEDS = {                       # file name -> seed
    "bird-city-night": 500339, "cakes-bedroom": 500370, "cat-city-midday": 500317, "chickens-farm-sunset": 500738,
    "giraffe-desert": 500168, "horse-park-rain": 500373, "house-forest": 500678, "octopus-underwater": 500257,
    "pizza-kitchen": 500450, "strawberry-farm": 500508, "truck-snow": 500472, "umbrellas-park-sunset": 500238}


def free_drawings(sprites):
    """Test drawings whose licence lets the pictures be passed on with this project."""
    index = scenes.index_sprites(sprites)["test"]
    return {"test": {kind: [e for e in entries if e[1].source.startswith(("noto/", "openclipart/"))] for kind, entries in index.items()}}


def description(graph, rng):
    """The JSON beside a picture: objects with pixel boxes, place, time, weather, tags and a reference caption."""
    w, h = graph["width"], graph["height"]
    objects = []
    for number, obj in enumerate(graph["objects"]):
        for box in scenes.member_boxes(obj, None):
            pixels = [round(v * s, 1) for v, s in zip(box, (w, h, w, h))]
            objects.append({"label": obj["kind"], "box_xyxy": pixels, "confidence": round(0.97 - 0.05 * number, 2),
                            "third": scenes.third_of((box[0] + box[2]) / 2), "main": number == 0})
    return {"width": w, "height": h, "place": graph["place"], "time": graph["time"], "weather": graph["weather"], "objects": objects,
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
    for name, seed in SEEDS.items():
        graph = scenes.random_scene(seed, table, "test")
        image, _ = scenes.paint_scene(graph, sprites, detail=2)
        image.save(args.out / f"{name}.jpg", quality=93, subsampling=0)
        text = json.dumps(description(graph, random.Random(seed)), indent=1, ensure_ascii=False)
        (args.out / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
