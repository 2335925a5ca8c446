#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Scores the demo model with `fastvlm evaluate`, float and in 4 bits, at every precision, with and without tags, and writes
docs/ACCURACY.md's table.

  tools/demo_model/accuracy.py [--work DIR] [--limit N] [--write]

The set is that of evaluation_set.py: 500 scenes of drawings that the model was not trained on.  Captions are kept in
WORK/accuracy and not made again, unless a model has changed.  Without --write the table goes to stdout alone.

  base      what make.py trains in PyTorch: it answers plain questions
  tuned     the base with the adapter that tune.py trains, merged, in float
  4 bits    models/demo: the same, its weights rounded to 4 bits

Base and tuned are left out where WORK does not hold them.
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
# (weights, --precision)
COLUMNS = [("base", "fp32"), ("tuned", "fp32"), ("4 bits", "fp32"), ("4 bits", "bf16"), ("4 bits", "int8")]
PAIRS = [(0, 1), (1, 2), (2, 3), (2, 4)]      # of COLUMNS: what training, rounding and arithmetic do
METRICS = ["Bleu_1", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr"]
RUBRIC = ["sections_present", "in_order", "filled", "within_length", "no_repetition", "not_cut"]
FACTS = ["main object named", "position right", "scene right", "time of day right", "all four facts"]


def digest_of(model):
    digest = hashlib.sha256()
    for path in sorted(model.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def models(work):
    """Weights by name: folder."""
    folders = {"base": work / "base", "tuned": work / "tuned", "4 bits": DEMO}
    return {name: folder for name, folder in folders.items() if (folder / "config.json").exists()}


class Runs:
    def __init__(self, program, work, limit, threads):
        self.program, self.limit, self.threads, self.data = program, limit, threads, work / "accuracy" / "set"
        if not (self.data / "captions.json").exists():
            evaluation_set.write(work, self.data)
        self.models, self.kept = models(work), work / "accuracy"
        self.graphs = json.loads((self.data / "scenes.json").read_text())

    def captions_file(self, weights, precision, tagged):
        folder = self.kept / digest_of(self.models[weights])
        folder.mkdir(exist_ok=True)
        part = f"-first-{self.limit}" if self.limit else ""
        return folder / f"{precision}{'-tags' if tagged else ''}{part}.jsonl"

    def evaluate(self, arguments):
        command = [self.program, "evaluate", "--json", *arguments]
        return json.loads(subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, check=True).stdout)

    def score(self, weights, precision, tagged):
        arguments = ["--model", self.models[weights], "--precision", precision, "--free", "--data", self.data / "captions.json",
                     "--predictions-out", self.captions_file(weights, precision, tagged)]
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


def title(weights, precision, tagged):
    return f"{weights}, {precision}{', tags' if tagged else ''}"


def score_table(results, runs):
    count = len(next(iter(results.values()))["images"])
    text = line([f"{count} unseen scenes"] + [title(*key) for key in results]) + "|---" * (len(results) + 1) + "|\n"
    for metric in METRICS:
        text += line([metric] + ["{:.4f} [{:.3f}, {:.3f}]".format(r["corpus"][metric], *r["intervals_95"][metric]) for r in results.values()])
    for point in RUBRIC:  # there is none where no caption has sections
        text += line([point] + [f"{100 * r['rubric'][point]:.1f} %" if "rubric" in r else "" for r in results.values()])
    facts = [runs.facts(result) for result in results.values()]
    for fact in FACTS:
        text += line([fact] + [f"{f[fact]:.1f} %" for f in facts])
    same = [sum(a["caption"] == b["caption"] for a, b in zip(results["4 bits", "fp32", key[2]]["images"], r["images"])) for key, r in results.items()]
    return text + line(["same text as 4 bits, fp32"] + [f"{100 * n / count:.1f} %" for n in same])


def tables(runs):
    columns = [column for column in COLUMNS if column[0] in runs.models]
    results = {(*column, tagged): runs.score(*column, tagged) for tagged in (False, True) for column in columns}
    text = ""
    for tagged in (False, True):
        text += score_table({key: r for key, r in results.items() if key[2] == tagged}, runs) + "\n"
    text += "Differences, second minus first, with 95 % intervals and p-values of the paired bootstrap:\n\n"
    text += line(["first", "second", *METRICS]) + "|---" * (len(METRICS) + 2) + "|\n"
    pairs = [((*COLUMNS[a], tagged), (*COLUMNS[b], tagged)) for tagged in (False, True) for a, b in PAIRS]
    pairs += [((*column, False), (*column, True)) for column in columns]
    for first, second in pairs:
        if first in results and second in results:
            found = runs.compare(runs.captions_file(*first), runs.captions_file(*second))
            text += line([title(*first), title(*second)] + [difference(found, m) for m in METRICS])
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
