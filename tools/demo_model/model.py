# SPDX-License-Identifier: Apache-2.0
"""The demo model in PyTorch: MobileCLIP-S0 tower (training form), projector and a small Qwen2.

The tower is trained with one convolution + BatchNorm per unit; `fold_tower` writes Apple's inference form.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

WIDTHS, BLOCKS = (24, 48, 96, 192), (1, 2, 4, 2)
MLP_RATIO, HEAD_DIM, BN_EPS = 3, 32, 1e-5
FEATURES = 2 * WIDTHS[-1]

LM = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 6, "num_key_value_heads": 2,
      "intermediate_size": 512, "rope_theta": 1000000.0, "rms_norm_eps": 1e-6}


# ---------------------------------------------------------------------------------------------------- tower

def gelu(x):
    """GELU of x [n,c,h,w] in channels-last memory; seen as [n,h,w,c] oneDNN takes it, five times faster."""
    return F.gelu(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def conv_bn(cin, cout, kernel, stride, groups):
    return nn.ModuleDict({"conv": nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
                          "bn": nn.BatchNorm2d(cout, eps=BN_EPS)})


def apply_conv_bn(unit, x):
    return unit["bn"](unit["conv"](x))


def round8(v):
    return max(8, int(v + 4) // 8 * 8)


class SqueezeExcite(nn.Module):
    """x [n,c,h,w] times a gate from its mean; `names` are the two layer names in the checkpoint."""

    def __init__(self, channels, hidden, names):
        super().__init__()
        self.names = names
        self.add_module(names[0], nn.Conv2d(channels, hidden, 1))
        self.add_module(names[1], nn.Conv2d(hidden, channels, 1))

    def forward(self, x):
        down, up = (getattr(self, n) for n in self.names)
        return x * torch.sigmoid(up(F.relu(down(x.mean((2, 3), keepdim=True)))))


class ConvFFN(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = conv_bn(c, c, 7, 1, c)
        self.fc1 = nn.Conv2d(c, MLP_RATIO * c, 1)
        self.fc2 = nn.Conv2d(MLP_RATIO * c, c, 1)

    def forward(self, x):
        return self.fc2(gelu(self.fc1(apply_conv_bn(self.conv, x))))


class RepMixerBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.token_mixer = conv_bn(c, c, 3, 1, c)
        self.convffn = ConvFFN(c)
        self.layer_scale = nn.Parameter(torch.full((c, 1, 1), 0.5))

    def forward(self, x):
        x = x + apply_conv_bn(self.token_mixer, x)
        return x + self.layer_scale * self.convffn(x)


class AttentionMixer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.qkv = nn.Linear(c, 3 * c, bias=False)
        self.proj = nn.Linear(c, c)

    def forward(self, x):
        n, c, h, w = x.shape
        qkv = self.qkv(x.flatten(2).transpose(1, 2)).view(n, h * w, 3, c // HEAD_DIM, HEAD_DIM).permute(2, 0, 3, 1, 4)
        weights = (qkv[0] @ qkv[1].transpose(-2, -1) / math.sqrt(HEAD_DIM)).softmax(-1)
        out = self.proj((weights @ qkv[2]).transpose(1, 2).reshape(n, h * w, c))
        return out.transpose(1, 2).view(n, c, h, w)


class AttentionBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.BatchNorm2d(c, eps=BN_EPS)
        self.token_mixer = AttentionMixer(c)
        self.convffn = ConvFFN(c)
        self.layer_scale_1 = nn.Parameter(torch.full((c, 1, 1), 0.5))
        self.layer_scale_2 = nn.Parameter(torch.full((c, 1, 1), 0.5))

    def forward(self, x):
        x = x + self.layer_scale_1 * self.token_mixer(self.norm(x))
        return x + self.layer_scale_2 * self.convffn(x)


class Downsample(nn.Module):
    def __init__(self, cin, cout, squeeze):
        super().__init__()
        self.large = conv_bn(cin, cout, 7, 2, cin)
        self.se = SqueezeExcite(cout, round8(cout / 4), ("fc1", "fc2")) if squeeze else nn.Identity()
        self.point = conv_bn(cout, cout, 1, 1, 1)

    def forward(self, x):
        return gelu(apply_conv_bn(self.point, gelu(self.se(apply_conv_bn(self.large, x)))))


class Tower(nn.Module):
    """Pixels [n,3,256,256] in 0..1 -> tokens [n,64,FEATURES], row by row."""

    def __init__(self):
        super().__init__()
        w = WIDTHS
        self.stem = nn.ModuleList([conv_bn(3, w[0], 3, 2, 1), conv_bn(w[0], w[0], 3, 2, w[0]), conv_bn(w[0], w[0], 1, 1, 1)])
        self.stages = nn.ModuleList(nn.Sequential(*[(AttentionBlock if i == 3 else RepMixerBlock)(w[i]) for _ in range(BLOCKS[i])])
                                    for i in range(4))
        self.down = nn.ModuleList(Downsample(w[i], w[i + 1], squeeze=i > 0) for i in range(3))
        self.position = nn.Conv2d(w[3], w[3], 7, 1, 3, groups=w[3])
        self.expand = conv_bn(w[3], FEATURES, 3, 1, w[3])
        self.expand_se = SqueezeExcite(FEATURES, FEATURES // 16, ("reduce", "expand"))

    def forward(self, x):
        for unit in self.stem:
            x = gelu(apply_conv_bn(unit, x))
        for i in range(3):
            x = self.down[i](self.stages[i](x))
        x = self.stages[3](x + self.position(x))
        x = gelu(self.expand_se(apply_conv_bn(self.expand, x)))
        return x.flatten(2).transpose(1, 2)


def fold(unit, skip=False):
    """conv + BatchNorm (+ identity) -> (weight, bias) of one convolution."""
    conv, bn = unit["conv"], unit["bn"]
    scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
    weight, bias = conv.weight * scale[:, None, None, None], bn.bias - bn.running_mean * scale
    if skip:
        weight = weight.clone()
        weight[:, 0, weight.shape[2] // 2, weight.shape[3] // 2] += 1
    return weight, bias


@torch.no_grad()
def fold_tower(tower):
    """Tower -> {name: tensor} in Apple's inference form, without the tower prefix."""
    out = {}

    def put(name, pair):
        out[name + ".weight"], out[name + ".bias"] = pair

    def put_module(name, module):
        for key, value in module.state_dict().items():
            if not key.endswith("num_batches_tracked"):
                out[f"{name}.{key}"] = value

    for i, unit in enumerate(tower.stem):
        put(f"patch_embed.{i}.reparam_conv", fold(unit))
    index = 0
    for i, stage in enumerate(tower.stages):
        if i == 3:
            weight = tower.position.weight.clone()
            weight[:, 0, 3, 3] += 1
            put(f"network.{index}.reparam_conv", (weight, tower.position.bias))
            index += 1
        for j, block in enumerate(stage):
            name = f"network.{index}.{j}"
            if i < 3:
                put(name + ".token_mixer.reparam_conv", fold(block.token_mixer, skip=True))
                out[name + ".layer_scale"] = block.layer_scale
            else:
                for key in ("layer_scale_1", "layer_scale_2"):
                    out[f"{name}.{key}"] = getattr(block, key)
                put_module(name + ".norm", block.norm)
                put_module(name + ".token_mixer", block.token_mixer)
            out[name + ".convffn.conv.conv.weight"] = block.convffn.conv["conv"].weight
            put_module(name + ".convffn.conv.bn", block.convffn.conv["bn"])
            put_module(name + ".convffn.fc1", block.convffn.fc1)
            put_module(name + ".convffn.fc2", block.convffn.fc2)
        index += 1
        if i < 3:
            down, name = tower.down[i], f"network.{index}"
            put(name + ".proj.0.lkb_reparam", fold(down.large))
            put_module(name + ".proj.0.se", down.se)
            put(name + ".proj.1.reparam_conv", fold(down.point))
            index += 1
    put("conv_exp.reparam_conv", fold(tower.expand))
    put_module("conv_exp.se", tower.expand_se)
    return {k: v.detach().clone() for k, v in out.items()}


# ----------------------------------------------------------------------------------- projector and language

class Projector(nn.Module):
    """Tower tokens [n,64,FEATURES] -> [n,64,hidden]."""

    def __init__(self):
        super().__init__()
        self.linear_0 = nn.Linear(FEATURES, LM["hidden_size"])
        self.linear_2 = nn.Linear(LM["hidden_size"], LM["hidden_size"])

    def forward(self, x):
        return self.linear_2(F.gelu(self.linear_0(x)))


class RMSNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + LM["rms_norm_eps"]) * self.weight


def rotary(length, start=0):
    """cos and sin [length, head_dim] of positions start.."""
    dim = LM["hidden_size"] // LM["num_attention_heads"]
    inverse = LM["rope_theta"] ** (-torch.arange(0, dim, 2, dtype=torch.float32) / dim)
    angle = torch.arange(start, start + length, dtype=torch.float32)[:, None] * inverse
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()


def rotate(x, table):
    """Half-split rotary embedding of x [n,heads,t,d]."""
    half = x.shape[-1] // 2
    return x * table[0] + torch.cat([-x[..., half:], x[..., :half]], -1) * table[1]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads, self.groups = LM["num_attention_heads"], LM["num_key_value_heads"]
        self.dim = LM["hidden_size"] // self.heads
        self.q_proj = nn.Linear(LM["hidden_size"], self.heads * self.dim)
        self.k_proj = nn.Linear(LM["hidden_size"], self.groups * self.dim)
        self.v_proj = nn.Linear(LM["hidden_size"], self.groups * self.dim)
        self.o_proj = nn.Linear(self.heads * self.dim, LM["hidden_size"], bias=False)

    def forward(self, x, table, mask, cache):
        """x [n,t,hidden]; cache is None or a dict that keeps the keys and values seen so far."""
        n, t, _ = x.shape
        q = rotate(self.q_proj(x).view(n, t, self.heads, self.dim).transpose(1, 2), table)
        k = rotate(self.k_proj(x).view(n, t, self.groups, self.dim).transpose(1, 2), table)
        v = self.v_proj(x).view(n, t, self.groups, self.dim).transpose(1, 2)
        if cache is not None:
            if "k" in cache:
                k, v = torch.cat([cache["k"], k], 2), torch.cat([cache["v"], v], 2)
            cache["k"], cache["v"] = k, v
        repeat = self.heads // self.groups
        q, k, v = q.reshape(n * self.groups, repeat * t, self.dim).to(v.dtype), k.flatten(0, 1).to(v.dtype), v.flatten(0, 1)
        with torch.autocast("cpu", enabled=False):      # all of it in bf16, where x is: four times as fast as casts in between
            scores = torch.baddbmm(mask.to(v.dtype).repeat(repeat, 1), q, k.transpose(1, 2), alpha=1 / math.sqrt(self.dim))
            out = scores.softmax(-1) @ v
        out = out.view(n, self.heads, t, self.dim).transpose(1, 2).reshape(n, t, -1)
        return self.o_proj(out)


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj = nn.Linear(LM["hidden_size"], LM["intermediate_size"], bias=False)
        self.up_proj = nn.Linear(LM["hidden_size"], LM["intermediate_size"], bias=False)
        self.down_proj = nn.Linear(LM["intermediate_size"], LM["hidden_size"], bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(LM["hidden_size"]), RMSNorm(LM["hidden_size"])
        self.self_attn, self.mlp = Attention(), MLP()

    def forward(self, x, table, mask, cache):
        x = x + self.self_attn(self.input_layernorm(x), table, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Qwen2(nn.Module):
    """Embeddings [n,t,hidden] -> hidden states after the final norm; logits are tied to the embedding."""

    def __init__(self, vocab_size):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, LM["hidden_size"])
        self.layers = nn.ModuleList(Block() for _ in range(LM["num_hidden_layers"]))
        self.norm = RMSNorm(LM["hidden_size"])
        for name, p in self.named_parameters():
            if name.endswith("weight") and p.dim() == 2:
                nn.init.normal_(p, std=0.02 if "o_proj" not in name and "down_proj" not in name else 0.01)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def forward(self, x, caches=None):
        t = x.shape[1]
        past = caches[0]["k"].shape[2] if caches and "k" in caches[0] else 0
        table = rotary(t, past)
        mask = torch.full((t, past + t), float("-inf")).triu(past + 1)
        for i, layer in enumerate(self.layers):
            x = layer(x, table, mask, caches[i] if caches else None)
        return self.norm(x)

    def logits(self, hidden):
        return F.linear(hidden, self.embed_tokens.weight)


@torch.no_grad()
def greedy(lm, embeddings, stop, limit):
    """Greedy decoding of a batch of equally long prompts: embeddings [n,t,hidden] -> list of id lists."""
    caches = [{} for _ in lm.layers]
    n = embeddings.shape[0]
    out, live = [[] for _ in range(n)], torch.ones(n, dtype=torch.bool)
    x = embeddings
    for _ in range(limit):
        ids = lm.logits(lm(x, caches)[:, -1]).argmax(-1)
        for i in range(n):
            if live[i] and int(ids[i]) == stop:
                live[i] = False
            if live[i]:
                out[i].append(int(ids[i]))
        if not live.any():
            break
        x = lm.embed_tokens(ids)[:, None]
    return out
