# SPDX-License-Identifier: Apache-2.0
"""Writes small.onnx with torch.onnx, from a module tree with Ultralytics' names (README.md)."""
import pathlib

import torch
from torch import nn


def numbers(shape, start):
    count = torch.Size(shape).numel()
    return ((torch.arange(start, start + count) % 97) / 16 - 3).reshape(shape)


class Conv(nn.Module):
    def __init__(self, c_in, c_out, start):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.conv.weight = nn.Parameter(numbers(self.conv.weight.shape, start))
        self.conv.bias = nn.Parameter(numbers([c_out], start + 1))
        self.act = nn.SiLU()

    def forward(self, x):
        return self.act(self.conv(x))


class Block(nn.Module):
    """A Sequential inside, and a ModuleList of them, as in Ultralytics' blocks and heads."""

    def __init__(self):
        super().__init__()
        self.m = nn.Sequential(nn.Sequential(Conv(4, 4, 10), Conv(4, 4, 20)))
        self.cv2 = nn.ModuleList([nn.Sequential(Conv(4, 4, 30), nn.Conv2d(4, 4, 1, bias=False)) for _ in range(2)])
        for branch in self.cv2:  # equal weights: the exporter stores them once
            branch[1].weight = nn.Parameter(numbers([4, 4, 1, 1], 40))

    def forward(self, x):
        x = self.m(x)
        return torch.cat([branch(x) for branch in self.cv2], 1)


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(Conv(3, 4, 0), Block())

    def forward(self, x):
        for layer in self.model:
            x = layer(x)
        return x


torch.onnx.export(Detector().eval(), torch.zeros(1, 3, 8, 8), pathlib.Path(__file__).with_name("small.onnx"),
                  input_names=["images"], output_names=["output0"], opset_version=13, do_constant_folding=True)
