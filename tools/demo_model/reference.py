#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch reference of the exported files: what a reader of models/demo must compute, in f32.

  reference.py [--model DIR] IMAGE [--prompt TEXT | --prompt-file FILE]      prints the greedy caption
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import bpe
import captions
import scenes
import tensors
from inference_tower import InferenceTower
from model import Projector, Qwen2, greedy

GROUP = 64                      # weights that share a scale and a bias
DEMO = Path(__file__).resolve().parents[2] / "models" / "demo"


def dequantise(arrays, prefix):
    """MLX 4-bit tensors below `prefix` -> {name without prefix: f32 tensor}."""
    out = {}
    for name, value in arrays.items():
        if not name.startswith(prefix) or name.endswith((".scales", ".biases")):
            continue
        if value.dtype == np.uint32:
            base = name[:-len("weight")]
            codes = (value[..., None] >> (4 * np.arange(8, dtype=np.uint32))) & 15
            codes = codes.reshape(value.shape[0], -1, GROUP).astype(np.float32)
            scales, biases = (arrays[base + k].astype(np.float32)[..., None] for k in ("scales", "biases"))
            value = (scales * codes + biases).reshape(value.shape[0], -1)
        out[name[len(prefix):]] = torch.from_numpy(value.astype(np.float32))
    return out


class Reference:
    """The exported model."""

    def __init__(self, folder=DEMO):
        arrays = tensors.load(folder / "model.safetensors")
        self.config = json.loads((folder / "config.json").read_text())
        self.tokenizer = bpe.load(folder / "tokenizer.json")
        self.tower = InferenceTower(tensors.load(folder / "vision_tower.safetensors"))
        self.projector, self.lm = Projector(), Qwen2(self.config["vocab_size"])
        self.projector.load_state_dict(dequantise(arrays, "multi_modal_projector."))
        self.lm.load_state_dict(dequantise(arrays, "language_model.model."))

    @torch.no_grad()
    def image_tokens(self, images):
        """u8 [n,256,256,3] -> projected tokens [n,64,hidden]."""
        pixels = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 255
        return self.projector(self.tower(pixels))

    def prompt_ids(self, question):
        """(ids before the image, ids after it)."""
        before, after = captions.conversation(question)
        return self.tokenizer.encode(before), self.tokenizer.encode(after)

    @torch.no_grad()
    def embeddings(self, image_tokens, question):
        """[n,64,hidden] and one question -> prompt embeddings [n,t,hidden]."""
        before, after = (self.lm.embed_tokens(torch.tensor(ids)).expand(len(image_tokens), -1, -1) for ids in self.prompt_ids(question))
        return torch.cat([before, image_tokens, after], 1)

    def caption(self, image_tokens, question, limit=256):
        """Greedy captions of n pictures with the same question."""
        ids = greedy(self.lm, self.embeddings(image_tokens, question), self.config["eos_token_id"], limit)
        return [self.tokenizer.decode(row) for row in ids]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--model", type=Path, default=DEMO)
    parser.add_argument("--prompt", default=captions.SEVEN_POINT)
    parser.add_argument("--prompt-file", type=Path)
    args = parser.parse_args()
    prompt = args.prompt_file.read_text().rstrip("\n") if args.prompt_file else args.prompt
    model = Reference(args.model)
    print(model.caption(model.image_tokens(scenes.tower_input(Image.open(args.image))[None]), prompt)[0])


if __name__ == "__main__":
    main()
