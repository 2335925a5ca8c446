# SPDX-License-Identifier: Apache-2.0
"""Writes average_precision.json: boxes drawn by chance, scored by pycocotools (README.md)."""
import json
import pathlib
import random

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

random.seed(4)
KINDS = ["person", "dog", "kite"]
images, annotations, results = [], [], []
for image in range(12):
    truth, predicted = [], []
    for _ in range(random.randint(0, 9)):
        side = random.choice([12, 20, 50, 80, 150])
        box = [random.randint(0, 300), random.randint(0, 200), side + random.randint(0, 9), side + random.randint(0, 9)]
        kind, crowd = random.choice(KINDS), int(random.random() < 0.15)
        truth.append([kind, *box, crowd, round(box[2] * box[3] * random.uniform(0.5, 1), 2)])
        for _ in range(random.choice([0, 1, 1, 1, 2, 3])):
            moved = [v + random.choice([0, 0, 1, -1, 3, -4, side // 5]) for v in box]
            wrong = random.choice(KINDS) if random.random() < 0.1 else kind
            predicted.append([wrong, random.randint(1, 20) / 20, *moved])
    for _ in range(random.randint(0, 4)):
        predicted.append([random.choice(KINDS), random.randint(1, 20) / 20, random.randint(0, 300), random.randint(0, 200), 30, 40])
    images.append({"truth": truth, "predicted": predicted})
    for kind, x, y, w, h, crowd, area in truth:
        annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": KINDS.index(kind) + 1,
                            "bbox": [x, y, w, h], "iscrowd": crowd, "area": area})
    for kind, score, *box in predicted:
        results.append({"image_id": image, "category_id": KINDS.index(kind) + 1, "bbox": box, "score": score})

coco = COCO()
coco.dataset = {"images": [{"id": i} for i in range(len(images))], "annotations": annotations,
                "categories": [{"id": i + 1, "name": kind} for i, kind in enumerate(KINDS)]}
coco.createIndex()
run = COCOeval(coco, coco.loadRes(results), "bbox")
run.evaluate()
run.accumulate()
run.summarize()
names = {"mean": 0, "at_50": 1, "at_75": 2, "small": 3, "medium": 4, "large": 5, "recall": 8}
pathlib.Path(__file__).with_name("average_precision.json").write_text(json.dumps(
    {"images": images, "expected": {name: float(run.stats[i]) for name, i in names.items()}}, separators=(",", ":")) + "\n")
