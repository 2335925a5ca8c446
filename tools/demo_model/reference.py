#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch reference of the exported files: what a reader of models/demo must compute, in f32.

  reference.py [--model DIR] IMAGE [--prompt TEXT | --prompt-file FILE]      prints the greedy caption
"""
import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import bpe
import captions
import scenes
import tensors
from export import TOWER_PREFIX
from model import GROUP, HEAD_DIM, Projector, Qwen2, greedy

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


class InferenceTower:
    """S0 topology from inference-form tensors; everything is inferred from names and shapes."""

    def __init__(self, arrays):
        self.t = {k[len(TOWER_PREFIX):]: torch.from_numpy(v.astype(np.float32)) for k, v in arrays.items()}

    def conv(self, x, name, stride=1):
        weight = self.t[name + ".weight"]
        return F.conv2d(x, weight, self.t.get(name + ".bias"), stride, weight.shape[2] // 2, groups=x.shape[1] // weight.shape[1])

    def norm(self, x, name):
        t = self.t
        return F.batch_norm(x, t[name + ".running_mean"], t[name + ".running_var"], t[name + ".weight"], t[name + ".bias"], eps=1e-5)

    def squeeze(self, x, down, up):
        return x * torch.sigmoid(self.conv(F.relu(self.conv(x.mean((2, 3), keepdim=True), down)), up))

    def ffn(self, x, name):
        y = self.norm(self.conv(x, name + ".conv.conv"), name + ".conv.bn")
        return self.conv(F.gelu(self.conv(y, name + ".fc1")), name + ".fc2")

    def attention(self, x, name):
        n, c, h, w = x.shape
        qkv = (x.flatten(2).transpose(1, 2) @ self.t[name + ".qkv.weight"].T).view(n, h * w, 3, c // HEAD_DIM, HEAD_DIM)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = ((q @ k.transpose(-2, -1) / math.sqrt(HEAD_DIM)).softmax(-1) @ v).transpose(1, 2).reshape(n, h * w, c)
        return F.linear(y, self.t[name + ".proj.weight"], self.t[name + ".proj.bias"]).transpose(1, 2).view(n, c, h, w)

    def __call__(self, x):
        """Pixels [n,3,256,256] in 0..1 -> tokens [n,64,channels]."""
        t = self.t
        for i, stride in enumerate((2, 2, 1)):
            x = F.gelu(self.conv(x, f"patch_embed.{i}.reparam_conv", stride))
        index = 0
        while any(k.startswith(f"network.{index}.") for k in t):
            name = f"network.{index}"
            if name + ".proj.0.lkb_reparam.weight" in t:
                x = self.conv(x, name + ".proj.0.lkb_reparam", 2)
                if name + ".proj.0.se.fc1.weight" in t:
                    x = self.squeeze(x, name + ".proj.0.se.fc1", name + ".proj.0.se.fc2")
                x = F.gelu(self.conv(F.gelu(x), name + ".proj.1.reparam_conv"))
            elif name + ".reparam_conv.weight" in t:
                x = self.conv(x, name + ".reparam_conv")
            else:
                block = 0
                while any(k.startswith(f"{name}.{block}.") for k in t):
                    part = f"{name}.{block}"
                    if part + ".layer_scale" in t:
                        x = self.conv(x, part + ".token_mixer.reparam_conv")
                        x = x + t[part + ".layer_scale"] * self.ffn(x, part + ".convffn")
                    else:
                        x = x + t[part + ".layer_scale_1"] * self.attention(self.norm(x, part + ".norm"), part + ".token_mixer")
                        x = x + t[part + ".layer_scale_2"] * self.ffn(x, part + ".convffn")
                    block += 1
            index += 1
        x = F.gelu(self.squeeze(self.conv(x, "conv_exp.reparam_conv"), "conv_exp.se.reduce", "conv_exp.se.expand"))
        return x.flatten(2).transpose(1, 2)


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
