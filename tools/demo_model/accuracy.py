#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Scores models/demo with `fastvlm evaluate` at every precision, with and without tags, and writes docs/ACCURACY.md's table.

  tools/demo_model/accuracy.py [--work DIR] [--limit N] [--write]

The set is that of evaluation_set.py: 500 scenes of drawings that the model was not trained on.  Captions are kept in
WORK/accuracy and not made again, unless the model has changed.  Without --write the table goes to stdout alone.
"""
import argparse
import hashlib
import json
import subprocess
from pathlib import Path

import evaluate
import evaluation_set
from reference import DEMO

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "ACCURACY.md"
BEGIN, END = "<!-- accuracy.py begins -->\n", "<!-- accuracy.py ends -->\n"
PRECISIONS = ["fp32", "bf16", "int8"]
METRICS = ["Bleu_1", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr"]
RUBRIC = ["sections_present", "in_order", "filled", "within_length", "no_repetition", "not_cut"]
FACTS = ["main object named", "position right", "scene right", "time of day right", "all four facts"]


def model_digest():
    digest = hashlib.sha256()
    for path in sorted(DEMO.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Runs:
    def __init__(self, program, work, limit, threads):
        self.program, self.limit, self.threads, self.data = program, limit, threads, work / "accuracy" / "set"
        if not (self.data / "captions.json").exists():
            evaluation_set.write(work, self.data)
        self.kept = work / "accuracy" / model_digest()
        self.kept.mkdir(parents=True, exist_ok=True)
        self.graphs = json.loads((self.data / "scenes.json").read_text())

    def captions_file(self, precision, tagged):
        return self.kept / f"{precision}{'-tags' if tagged else ''}.jsonl"

    def evaluate(self, arguments):
        command = [self.program, "evaluate", "--json", *arguments]
        return json.loads(subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, check=True).stdout)

    def score(self, precision, tagged):
        arguments = ["--model", DEMO, "--precision", precision, "--data", self.data / "captions.json", "--predictions-out",
                     self.captions_file(precision, tagged)]
        arguments += ["--tags", self.data / "tags.json"] if tagged else []
        arguments += ["--limit", self.limit] if self.limit else []
        return self.evaluate(arguments + (["--threads", self.threads] if self.threads else []))

    def compare(self, first, second):
        return self.evaluate(["--compare", first, second, "--references", self.data / "captions.json"] +
                             (["--subset"] if self.limit else []))["differences"]

    def facts(self, result):
        graphs = [self.graphs[image["file"]] for image in result["images"]]
        return evaluate.percent(graphs, [image["caption"] for image in result["images"]])


def line(cells):
    return "| " + " | ".join(cells) + " |\n"


def difference(found, metric):
    value, (low, high) = found[metric]["difference"], found[metric]["interval_95"]
    return f"{value:+.4f} [{low:+.4f}, {high:+.4f}], p {found[metric]['p_value']:.3f}"


def tables(runs):
    columns = {(p, t): runs.score(p, t) for t in (False, True) for p in PRECISIONS}
    count = len(next(iter(columns.values()))["images"])
    text = line([f"{count} unseen scenes"] + [f"{p}, {'tags' if t else 'no tags'}" for p, t in columns])
    text += "|---" * (len(columns) + 1) + "|\n"
    for metric in METRICS:
        text += line([metric] + ["{:.4f} [{:.3f}, {:.3f}]".format(r["corpus"][metric], *r["intervals_95"][metric]) for r in columns.values()])
    for point in RUBRIC:
        text += line([point] + [f"{100 * r['rubric'][point]:.1f} %" for r in columns.values()])
    facts = [runs.facts(result) for result in columns.values()]
    for fact in FACTS:
        text += line([fact] + [f"{f[fact]:.1f} %" for f in facts])
    plain = {image["image_id"]: image["caption"] for image in columns["fp32", False]["images"]}
    same = [sum(image["caption"] == other["caption"] for image, other in zip(columns["fp32", t]["images"], r["images"]))
            for (_, t), r in columns.items()]
    text += line(["same text as fp32"] + [f"{100 * n / len(plain):.1f} %" for n in same])
    text += "\nDifferences, second minus first, with 95 % intervals and p-values of the paired bootstrap:\n\n"
    text += line(["first", "second", *METRICS]) + "|---" * (len(METRICS) + 2) + "|\n"
    pairs = [(("fp32", t), (p, t)) for t in (False, True) for p in PRECISIONS[1:]] + [((p, False), (p, True)) for p in PRECISIONS]
    for first, second in pairs:
        found = runs.compare(runs.captions_file(*first), runs.captions_file(*second))
        names = [f"{p}, {'tags' if t else 'no tags'}" for p, t in (first, second)]
        text += line(names + [difference(found, m) for m in METRICS])
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT / "build" / "release" / "fastvlm")
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "fastvlm-demo")
    parser.add_argument("--limit", type=int, default=0, help="only the first scenes")
    parser.add_argument("--threads", type=int, default=0, help="of fastvlm; the captions do not depend on it")
    parser.add_argument("--write", action="store_true", help="put the table into docs/ACCURACY.md")
    args = parser.parse_args()
    text = tables(Runs(args.program, args.work, args.limit, args.threads))
    if not args.write:
        print(text, end="")
        return
    page = PAGE.read_text()
    start, stop = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(page[:start] + text + page[stop:])


if __name__ == "__main__":
    main()
