#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/goldens/demo from the exported model: what reference.py computes for three examples."""
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import captions
import scenes
import tensors
from model import greedy
from reference import Reference

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ["giraffe-desert", "pizza-kitchen", "truck-snow"]
IMAGE = -200                    # stands for the image in the prompt ids

README = """# Demo model goldens

Made by `tools/demo_model/goldens.py` with the PyTorch reference (f32 arithmetic on the exported weights, dequantised)
from `models/demo` and three pictures of `examples/`, with the seven-point prompt and no tags.  Remake them whenever
the demo model changes.

`golden_demo.safetensors`, for each picture NAME:

| tensor | content |
|---|---|
| `NAME/pixels_u8` U8 [3,256,256] | the tower input after JPEG decoding, padding and bicubic resizing by Pillow |
| `NAME/projected` F32 [64,192] | projected image tokens of these pixels |
| `NAME/prompt_ids` I64 | the prompt, -200 at the image |
| `NAME/last_logits` F32 [1536] | logits at the last prompt position |
| `NAME/greedy_ids` I64 [64] | the first 64 greedy ids |
| `NAME/margin` F32 [1] | smallest gap between the two best logits over these 64 steps |

Tolerance from the given pixels, f32: projected 1e-4, logits 1e-3, greedy ids equal.  JPEG decoders may differ by a
count or two per pixel, so tests that start from the file should compare ids only while the margin is large.
"""


@torch.no_grad()
def main():
    folder, model, out = ROOT / "tests" / "goldens" / "demo", Reference(), {}
    folder.mkdir(parents=True, exist_ok=True)
    for name in EXAMPLES:
        pixels = scenes.tower_input(Image.open(ROOT / "examples" / f"{name}.jpg"))
        tokens = model.image_tokens(pixels[None])
        inputs = model.embeddings(tokens, captions.SEVEN_POINT)
        before, after = model.prompt_ids(captions.SEVEN_POINT)
        ids = greedy(model.lm, inputs, -1, 64)[0]
        whole = torch.cat([inputs, model.lm.embed_tokens(torch.tensor([ids[:-1]]))], 1)
        best = model.lm.logits(model.lm(whole)[0, inputs.shape[1] - 1:]).topk(2).values
        out[f"{name}/pixels_u8"] = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        out[f"{name}/projected"] = tokens[0].numpy()
        out[f"{name}/prompt_ids"] = np.array(before + [IMAGE] + after, np.int64)
        out[f"{name}/last_logits"] = model.lm.logits(model.lm(inputs)[0, -1]).numpy()
        out[f"{name}/greedy_ids"] = np.array(ids, np.int64)
        out[f"{name}/margin"] = (best[:, 0] - best[:, 1]).min().numpy().reshape(1)
    tensors.save(folder / "golden_demo.safetensors", out, {"format": "pt"})
    (folder / "README.md").write_text(README, encoding="utf-8")


if __name__ == "__main__":
    main()
