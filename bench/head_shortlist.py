#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How many rows of a language model's head an exact shortlist would leave for greedy decoding.

  apt-get install python3-torch python3-numpy python3-pil; bench/head_shortlist.py [--rows 151936] [--width 896]

A sketch of the head, cheaper to read than the head, bounds each row's logit from both sides; only rows whose upper bound
reaches the best lower bound can win and are computed in full. Two sketches, both with bounds that hold always:

  high bits   the upper two of the four bits of each weight; the rest by Cauchy and Schwarz for each group of 64 columns
  rotation    the head's first R principal coordinates in 8 bits; the rest by Cauchy and Schwarz, as a whole

Printed: rows left, and bytes read (sketch and rows left) beside those of the head in 4 bits. Heads: the demo model's with the
hidden states of its captions; independent weights; spectra that fall as 1/i^p. A hidden state of a made-up head is the row of the
token that is to win, plus noise, scaled so that its logit stands so many deviations above the others' mean.
"""
import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
GROUP = 64
SLACK = 1e-4                    # of the bounds, for the rounding of sums


def quantise(head):
    """-> (codes 0 .. 15, scale, bias of each group [rows, groups, 1])."""
    groups = head.reshape(len(head), -1, GROUP)
    low, high = groups.min(2, keepdims=True), groups.max(2, keepdims=True)
    scale = np.maximum((high - low) / 15, 1e-12)
    return np.rint((groups - low) / scale), scale, low


def left(centre, radius):
    """Rows that can still win."""
    radius = radius * (1 + SLACK) + SLACK
    return int((centre + radius >= (centre - radius).max()).sum())


class HighBits:
    def __init__(self, head, codes, scale, bias):
        middle = (codes // 4) * 4 + 1.5
        self.near = (scale * middle + bias).reshape(len(head), -1)
        self.rest = np.linalg.norm((codes - middle) * scale, axis=2)
        self.bytes = head.shape[1] / 4 + head.shape[1] / GROUP * (4 + 1)  # scale and bias as in the head, norm in 8 bits

    def rows_left(self, x):
        return left(self.near @ x, self.rest @ np.linalg.norm(x.reshape(-1, GROUP), axis=1))


class Rotation:
    def __init__(self, head, kept):
        _, basis = np.linalg.eigh(head.T @ head)
        self.basis = basis[:, ::-1].astype(np.float32)
        turned = head @ self.basis
        step = np.abs(turned[:, :kept]).max(1, keepdims=True) / 127
        near = np.rint(turned[:, :kept] / step) * step
        self.near, self.rest = near, np.linalg.norm(turned[:, kept:], axis=1)
        self.rounding = np.linalg.norm(turned[:, :kept] - near, axis=1)
        self.bytes, self.kept = kept + 4 + 2 + 2, kept

    def rows_left(self, x):
        x = x @ self.basis
        radius = self.rest * np.linalg.norm(x[self.kept:]) + self.rounding * np.linalg.norm(x[:self.kept])
        return left(self.near @ x[:self.kept], radius)


def report(name, head, states):
    codes, scale, bias = quantise(head)
    head = (scale * codes + bias).reshape(len(head), -1).astype(np.float32)
    whole = head.shape[1] / 2 + head.shape[1] / GROUP * 4
    logits = head[:4096] @ states.T
    stands_out = np.mean([((head @ x).max() - logits[:, i].mean()) / logits[:, i].std() for i, x in enumerate(states)])
    sketches = {"high bits": HighBits(head, codes, scale, bias)}
    for kept in (head.shape[1] // 8, head.shape[1] // 4, head.shape[1] // 2):
        sketches[f"rotation, {kept}"] = Rotation(head, kept)
    for sketch_name, sketch in sketches.items():
        part = np.mean([sketch.rows_left(x) for x in states]) / len(head)
        print(f"| {name} | {stands_out:.1f} | {sketch_name} | {100 * part:.1f} % | {sketch.bytes / whole + part:.2f} |", flush=True)


def demo():
    """The demo model's head [rows, width] and hidden states of its captions."""
    sys.path.insert(0, str(ROOT / "tools" / "demo_model"))
    import torch
    from PIL import Image

    import captions
    import scenes
    from reference import Reference
    model = Reference()
    pictures = [scenes.tower_input(Image.open(path)) for path in sorted((ROOT / "examples").glob("*.jpg"))[:4]]
    tokens = model.image_tokens(pictures)
    states = []
    with torch.no_grad():
        for i, text in enumerate(model.caption(tokens, captions.SEVEN_POINT)):
            prompt = model.embeddings(tokens[i:i + 1], captions.SEVEN_POINT)
            answer = model.lm.embed_tokens(torch.tensor(model.tokenizer.encode(text)))[None]
            states.append(model.lm(torch.cat([prompt, answer], 1))[0, prompt.shape[1] - 1:].numpy())
    return model.lm.embed_tokens.weight.detach().numpy(), np.concatenate(states)[::4]


def made_up(rows, width, power, deviations, rng):
    head = rng.standard_normal((rows, width), np.float32) * np.arange(1, width + 1, dtype=np.float32) ** -power
    turn, _ = np.linalg.qr(rng.standard_normal((width, width)).astype(np.float32))
    head = head @ turn
    head *= 0.02 * np.sqrt(width) / np.linalg.norm(head, axis=1).mean()
    spread = np.linalg.cholesky(np.cov(head[::16].T) + 1e-9 * np.eye(width)).astype(np.float32)
    states = []
    for _ in range(8):
        token = head[rng.integers(rows)]
        noise = spread @ rng.standard_normal(width).astype(np.float32)
        noise -= token * (noise @ token) / (token @ token)
        deviation = lambda share: (token @ (token + share * noise)) / np.std(head[::16] @ (token + share * noise))
        low, high = 0.0, 100.0
        for _ in range(40):
            low, high = (low, (low + high) / 2) if deviation((low + high) / 2) < deviations else ((low + high) / 2, high)
        states.append(token + low * noise)
    return head, np.stack(states)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=151936)
    parser.add_argument("--width", type=int, default=896)
    args = parser.parse_args()
    print("| head | the best logit, deviations above the mean | sketch | rows left | bytes read |\n|---|---|---|---|---|")
    report("demo model", *demo())
    for power in (0.0, 0.5, 1.0):
        for deviations in (6, 12):
            report(f"spectrum 1/i^{power}", *made_up(args.rows, args.width, power, deviations, np.random.default_rng(1)))


if __name__ == "__main__":
    main()
