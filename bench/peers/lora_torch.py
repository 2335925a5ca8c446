#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Times steps of LoRA fine-tuning of Qwen2-0.5B in plain PyTorch with made-up weights and prints {"step": [seconds]} as JSON:
  lora_torch.py '{"batch", "length", "supervised", "threads", "steps", "arithmetic": "fp32"|"bf16"}'

The same work as train_bench's: rank 128 on all linear layers, dropout 0.1, every block run again on the way back
(torch.utils.checkpoint), head and loss at the supervised positions only, clipping, AdamW. At bf16 the base is held so and
products run so (autocast); adapter, gradient and moments are fp32. The samples of a batch go through together, or, with
"together" false, one after the other.
"""
import json
import math
import sys
import time

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from qwen2_shapes import HEAD, HEADS, HIDDEN, INTERMEDIATE, KV_HEADS, KV_WIDTH, LAYERS, RMS_EPS, ROTARY_BASE, VOCABULARY

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
RANK, ALPHA, DROPOUT, RATE = 128, 256, 0.1, 2e-4


class Lora(torch.nn.Module):
    """A frozen linear layer and its adapter, as PEFT has them."""

    def __init__(self, make, inputs, outputs, bias=False):
        super().__init__()
        self.weight, self.bias = make(outputs, inputs), make(outputs) if bias else None
        self.a = torch.nn.Parameter(torch.empty(RANK, inputs).uniform_(-1 / math.sqrt(inputs), 1 / math.sqrt(inputs)))
        self.b = torch.nn.Parameter(torch.zeros(outputs, RANK))

    def forward(self, x):
        inner = functional.linear(functional.dropout(x, DROPOUT, self.training), self.a)
        return functional.linear(x, self.weight, self.bias) + ALPHA / RANK * functional.linear(inner, self.b)


class Block(torch.nn.Module):
    def __init__(self, make):
        super().__init__()
        self.q = Lora(make, HIDDEN, HEADS * HEAD, bias=True)
        self.k, self.v = (Lora(make, HIDDEN, KV_WIDTH, bias=True) for _ in range(2))
        self.o = Lora(make, HEADS * HEAD, HIDDEN)
        self.gate, self.up = (Lora(make, HIDDEN, INTERMEDIATE) for _ in range(2))
        self.down = Lora(make, INTERMEDIATE, HIDDEN)
        self.norms = make(2, HIDDEN)

    def forward(self, x, cos, sin, mask):
        x = x + self.o(self.attention(rms_norm(x, self.norms[0]), cos, sin, mask))
        y = rms_norm(x, self.norms[1])
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))

    def attention(self, x, cos, sin, mask):
        batch, rows, _ = x.shape
        q, k, v = (f(x).view(batch, rows, -1, HEAD).transpose(1, 2) for f in (self.q, self.k, self.v))
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        k, v = (y.repeat_interleave(HEADS // KV_HEADS, dim=1) for y in (k, v))
        scores = q @ k.transpose(2, 3) / math.sqrt(HEAD) + mask
        return (scores.softmax(-1).to(v.dtype) @ v).transpose(1, 2).reshape(batch, rows, HEADS * HEAD)


class Model(torch.nn.Module):
    def __init__(self, dtype, length):
        super().__init__()
        generator = torch.Generator().manual_seed(1)

        def make(*shape):
            return torch.empty(shape).uniform_(-0.05, 0.05, generator=generator).to(dtype)

        self.embedding, self.norm = make(VOCABULARY, HIDDEN), make(HIDDEN)
        self.blocks = torch.nn.ModuleList(Block(make) for _ in range(LAYERS))
        angles = torch.outer(torch.arange(length), ROTARY_BASE ** (-torch.arange(0, HEAD, 2) / HEAD))
        self.cos, self.sin = (f.repeat(1, 2).to(dtype) for f in (angles.cos(), angles.sin()))
        self.mask = torch.full((length, length), -math.inf, dtype=dtype).triu(1)

    def forward(self, ids, supervised):
        """ids: [batch, length]. -> the sum of the losses of the last `supervised` ids of each."""
        x = self.embedding[ids].requires_grad_()
        for block in self.blocks:
            x = checkpoint(block, x, self.cos, self.sin, self.mask)
        picked = rms_norm(x[:, -supervised - 1:-1], self.norm).reshape(-1, HIDDEN)
        logits = functional.linear(picked, self.embedding)
        return functional.cross_entropy(logits.float(), ids[:, -supervised:].reshape(-1), reduction="sum")


def rotated(x, cos, sin):
    half = HEAD // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def rms_norm(x, weight):
    wide = x.float()
    return (wide * torch.rsqrt((wide * wide).mean(-1, keepdim=True) + RMS_EPS)).to(weight.dtype) * weight


def main(batch, length, supervised, threads, steps, arithmetic, together=True):
    torch.set_num_threads(threads)
    model = Model(TYPES[arithmetic], length)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0)
    ids = (torch.arange(batch * length) * 7919 % VOCABULARY).view(batch, length)
    seconds = []
    for step in range(steps + 1):  # the first one warms up
        start = time.perf_counter()
        for part in [ids] if together else ids.split(1):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=arithmetic == "bf16"):
                loss = model(part, supervised) / (batch * supervised)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step > 0:
            seconds.append(time.perf_counter() - start)
    print(json.dumps({"step": seconds}))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
