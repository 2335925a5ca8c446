#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Times Qwen2-0.5B in plain PyTorch with made-up weights and prints {"prompt", "answer"}, lists of seconds, as JSON:
  qwen2_torch.py '{"prompt", "answer", "threads", "repetitions", "arithmetic": "fp32"|"bf16"}'

As in `fastvlm bench`: the head for the last position only, the answer's tokens one by one behind the prompt.
"""
import json
import math
import sys
import time

import torch
from torch.nn import functional

from qwen2_shapes import HEAD, HEADS, HIDDEN, INTERMEDIATE, KV_HEADS, KV_WIDTH, LAYERS, RMS_EPS, ROTARY_BASE, VOCABULARY

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Layer:
    def __init__(self, make):
        self.qkv = make(HIDDEN + 2 * KV_WIDTH, HIDDEN)
        self.qkv_bias = make(HIDDEN + 2 * KV_WIDTH)
        self.output = make(HIDDEN, HIDDEN)
        self.gate_up = make(2 * INTERMEDIATE, HIDDEN)
        self.down = make(HIDDEN, INTERMEDIATE)
        self.norms = make(2, HIDDEN)


class Qwen2:
    def __init__(self, dtype, capacity):
        generator = torch.Generator().manual_seed(1)

        def make(*shape):
            return torch.empty(shape).uniform_(-0.05, 0.05, generator=generator).to(dtype)

        self.embedding = make(VOCABULARY, HIDDEN)
        self.norm = make(HIDDEN)
        self.layers = [Layer(make) for _ in range(LAYERS)]
        angles = torch.outer(torch.arange(capacity), ROTARY_BASE ** (-torch.arange(0, HEAD, 2) / HEAD))
        self.cos, self.sin = angles.cos().repeat(1, 2).to(dtype), angles.sin().repeat(1, 2).to(dtype)
        self.keys = torch.zeros(LAYERS, KV_HEADS, capacity, HEAD, dtype=dtype)
        self.values = torch.zeros_like(self.keys)

    def forward(self, ids, past):
        """ids: [tokens] behind `past` others. -> logits of the last, [vocabulary]."""
        x = self.embedding[ids]
        for index, layer in enumerate(self.layers):
            x = x + self.attention(index, rms_norm(x, layer.norms[0]), past)
            gate, up = (rms_norm(x, layer.norms[1]) @ layer.gate_up.T).chunk(2, dim=-1)
            x = x + (functional.silu(gate) * up) @ layer.down.T
        return self.embedding @ rms_norm(x[-1], self.norm)

    def attention(self, index, x, past):
        layer, tokens = self.layers[index], len(x)
        end = past + tokens
        qkv = functional.linear(x, layer.qkv, layer.qkv_bias).view(tokens, HEADS + 2 * KV_HEADS, HEAD).transpose(0, 1)
        q, k, v = qkv.split([HEADS, KV_HEADS, KV_HEADS])
        self.keys[index, :, past:end] = self.rotated(k, past)
        self.values[index, :, past:end] = v
        q = self.rotated(q, past).reshape(KV_HEADS, -1, HEAD)
        scores = (q @ self.keys[index, :, :end].transpose(1, 2) / math.sqrt(HEAD)).view(KV_HEADS, -1, tokens, end)
        if tokens > 1:
            scores = scores + torch.full((tokens, end), -math.inf, dtype=x.dtype).triu(past + 1)
        mixed = scores.softmax(-1).view(KV_HEADS, -1, end) @ self.values[index, :, :end]
        return mixed.view(HEADS, tokens, HEAD).transpose(0, 1).reshape(tokens, HIDDEN) @ layer.output.T

    def rotated(self, x, past):
        """x: [heads, tokens, features]."""
        rows = slice(past, past + x.shape[1])
        half = HEAD // 2
        return x * self.cos[rows] + torch.cat([-x[..., half:], x[..., :half]], -1) * self.sin[rows]


def rms_norm(x, weight):
    wide = x.float()
    return (wide * torch.rsqrt((wide * wide).mean(-1, keepdim=True) + RMS_EPS)).to(x.dtype) * weight


@torch.no_grad()
def main(prompt, answer, threads, repetitions, arithmetic):
    torch.set_num_threads(threads)
    model = Qwen2(TYPES[arithmetic], prompt + answer)
    ids = torch.arange(prompt) * 7919 % VOCABULARY
    seconds = {"prompt": [], "answer": []}
    for repetition in range(-1, repetitions):  # the first one warms up
        start = time.perf_counter()
        token = model.forward(ids, 0).argmax()
        middle = time.perf_counter()
        for past in range(prompt, prompt + answer):
            token = model.forward(token.view(1), past).argmax()
        end = time.perf_counter()
        if repetition >= 0:
            seconds["prompt"].append(middle - start)
            seconds["answer"].append(end - middle)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
