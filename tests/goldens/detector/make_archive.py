# SPDX-License-Identifier: Apache-2.0
"""Writes small.pt with torch.save, from stand-ins for the classes of a module tree (README.md)."""
import collections
import pathlib
import sys
import types

import torch
from torch import nn


def stand_in(module, name, base=nn.Module):
    """An empty class that pickles as module.name."""
    parts = module.split(".")
    for i in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
    made = type(name, (base,), {"__module__": module, "forward": lambda self, x: x})
    setattr(sys.modules[module], name, made)
    return made


DetectionModel = stand_in("ultralytics.nn.tasks", "DetectionModel")
Conv = stand_in("ultralytics.nn.modules.conv", "Conv")
Detect = stand_in("ultralytics.nn.modules.head", "Detect")
Namespace = stand_in("ultralytics.utils", "IterableSimpleNamespace", types.SimpleNamespace)


def numbers(shape, start):
    """(k % 97) / 16 - 3 for k = start, start + 1, ...: the same in every width of 16 bits or more, but bf16."""
    count = torch.Size(shape).numel()
    return ((torch.arange(start, start + count) % 97) / 16 - 3).reshape(shape)


def conv(c_in, c_out, kernel, start):
    made = Conv()
    made.conv = nn.Conv2d(c_in, c_out, kernel, bias=False)
    made.conv.weight = nn.Parameter(numbers(made.conv.weight.shape, start))
    made.bn = nn.BatchNorm2d(c_out)
    made.bn.weight = nn.Parameter(numbers([c_out], start + 1))
    made.bn.bias = nn.Parameter(numbers([c_out], start + 2))
    made.bn.running_mean = numbers([c_out], start + 3)
    made.bn.running_var = numbers([c_out], start + 4)
    made.act = nn.SiLU()
    return made


def model(start):
    head = Detect()
    head.nc, head.stride = 2, torch.tensor([8.0, 16.0, 32.0])
    head.cv2 = nn.ModuleList([nn.Sequential(conv(4, 4, 1, start + 20), nn.Conv2d(4, 2, 1))])
    head.cv2[0][1].weight = nn.Parameter(numbers([2, 4, 1, 1], start + 30))
    head.cv2[0][1].bias = nn.Parameter(numbers([2], start + 31))
    made = DetectionModel()
    made.model = nn.Sequential(conv(3, 4, 3, start), conv(4, 4, 3, start + 10), head)
    made.names = {0: "person", 1: "traffic light"}
    made.yaml = {"nc": 2, "backbone": [[-1, 1, "Conv", [64, 3, 2]]]}
    made.args = {"imgsz": 640}
    made.criterion = None
    # Layouts that real files have: channels last, and several tensors in one storage.
    made.model[1].conv.weight.data = made.model[1].conv.weight.data.to(memory_format=torch.channels_last)
    both = numbers([8], start + 50).half()
    made = made.half()
    made.model[0].bn.weight.data, made.model[0].bn.bias.data = both[:4], both[4:]
    for parameter in made.parameters():
        parameter.requires_grad = False
    return made


torch.save({"epoch": -1, "best_fitness": torch.tensor(0.5).numpy()[()], "model": model(1000), "ema": model(0), "updates": 3,
            "optimizer": None, "train_args": {"save_dir": pathlib.PosixPath("runs/train"), "epochs": 3, "lr": 0.01},
            "settings": Namespace(mode="train"), "metrics": collections.defaultdict(list, {"map": [0.25]}),
            "date": "2026-01-01", "seed": 1 << 80}, pathlib.Path(__file__).with_name("small.pt"))
