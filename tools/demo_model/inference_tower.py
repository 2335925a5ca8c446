# SPDX-License-Identifier: Apache-2.0
"""The tower from its exported file, in PyTorch, f32: what any reader of that file computes."""
import math

import numpy as np
import torch
import torch.nn.functional as F

from model import HEAD_DIM, gelu

TOWER_PREFIX = "model.vision_tower.vision_tower.model."


class InferenceTower:
    """S0 topology from inference-form tensors; everything is inferred from names and shapes."""

    def __init__(self, arrays):
        self.t = {k[len(TOWER_PREFIX):]: torch.from_numpy(v.astype(np.float32)) for k, v in arrays.items()}
        for name, value in self.t.items():
            if value.dim() == 4:
                self.t[name] = value.contiguous(memory_format=torch.channels_last)

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
        return self.conv(gelu(self.conv(y, name + ".fc1")), name + ".fc2")

    def attention(self, x, name):
        n, c, h, w = x.shape
        qkv = (x.flatten(2).transpose(1, 2) @ self.t[name + ".qkv.weight"].T).view(n, h * w, 3, c // HEAD_DIM, HEAD_DIM)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = ((q @ k.transpose(-2, -1) / math.sqrt(HEAD_DIM)).softmax(-1) @ v).transpose(1, 2).reshape(n, h * w, c)
        return F.linear(y, self.t[name + ".proj.weight"], self.t[name + ".proj.bias"]).transpose(1, 2).view(n, c, h, w)

    def __call__(self, x):
        """Pixels [n,3,256,256] in 0..1 -> tokens [n,64,channels]."""
        t, x = self.t, x.contiguous(memory_format=torch.channels_last)
        for i, stride in enumerate((2, 2, 1)):
            x = gelu(self.conv(x, f"patch_embed.{i}.reparam_conv", stride))
        index = 0
        while any(k.startswith(f"network.{index}.") for k in t):
            name = f"network.{index}"
            if name + ".proj.0.lkb_reparam.weight" in t:
                x = self.conv(x, name + ".proj.0.lkb_reparam", 2)
                if name + ".proj.0.se.fc1.weight" in t:
                    x = self.squeeze(x, name + ".proj.0.se.fc1", name + ".proj.0.se.fc2")
                x = gelu(self.conv(gelu(x), name + ".proj.1.reparam_conv"))
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
        x = gelu(self.squeeze(self.conv(x, "conv_exp.reparam_conv"), "conv_exp.se.reduce", "conv_exp.se.expand"))
        return x.flatten(2).transpose(1, 2)
