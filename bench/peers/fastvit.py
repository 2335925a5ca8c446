# SPDX-License-Identifier: Apache-2.0
"""FastViT towers (FastViTHD, MobileCLIP-S0) in inference form as an ONNX graph; docs/MODEL.md section 1 has the network.

BatchNorms and layer scales are folded into the weights.  Output: [1, C, h, w].  With int8, ConvFFN, qkv, proj and the 1x1
convolutions between stages are products of rows of pixels in 8 bits; this was faster on ONNX Runtime than QDQ convolutions.
"""
import numpy as np

from onnx_graph import Graph

EPS = 1e-5
HEAD = 32  # features of an attention head
PREFIX = "model.vision_tower.vision_tower.model."


class _Tower:
    def __init__(self, tensors, side, int8):
        self.int8 = int8
        self.tensors = {name[len(PREFIX):]: array.astype(np.float32) for name, array in tensors.items()
                        if name.startswith(PREFIX) and array.ndim > 0}
        self.graph = Graph([1, 3, side, side])
        self.channels, self.side = 3, side

    def conv(self, x, name, stride=1):
        """Any convolution with a bias; from its shape it is dense or depthwise."""
        return self.convolve(x, self.tensors[name + ".weight"], self.tensors[name + ".bias"], stride)

    def convolve(self, x, weight, bias, stride=1):
        groups = self.channels // weight.shape[1]
        self.channels = weight.shape[0]
        self.side = (self.side - 1) // stride + 1
        return self.graph.conv(x, weight, bias, stride, groups)

    def batch_norm(self, name):
        """-> factor and summand of each channel."""
        weight, bias, mean, variance = (self.tensors[f"{name}.{part}"]
                                        for part in ("weight", "bias", "running_mean", "running_var"))
        factor = weight / np.sqrt(variance + EPS)
        return factor, bias - mean * factor

    def scaled(self, name, scale):
        """-> weight and bias of a 1x1 convolution whose outputs are multiplied by a layer scale."""
        scale = scale.reshape(-1)
        weight, bias = self.tensors[name + ".weight"], self.tensors[name + ".bias"]
        return weight.reshape(weight.shape[:2]) * scale[:, None], bias * scale

    def rows(self, x):
        """[1, C, h, w] -> [1, pixels, C]"""
        flat = self.graph.reshape(x, [1, self.channels, self.side ** 2])
        return self.graph.node("Transpose", flat, perm=[0, 2, 1])

    def maps(self, rows):
        """The other way round."""
        flat = self.graph.node("Transpose", rows, perm=[0, 2, 1])
        return self.graph.reshape(flat, [1, self.channels, self.side, self.side])

    def linear(self, rows, weight, bias):
        if self.int8:
            return self.graph.int8_linear(rows, weight, bias)
        product = self.graph.node("MatMul", rows, self.graph.constant(weight.T))
        return self.graph.node("Add", product, self.graph.constant(bias))

    def ffn(self, x, name, scale):
        """x + scale * convffn(x)"""
        factor, summand = self.batch_norm(f"{name}.conv.bn")
        h = self.convolve(x, self.tensors[f"{name}.conv.conv.weight"] * factor.reshape(-1, 1, 1, 1), summand)
        weight, bias = self.scaled(f"{name}.fc2", scale)
        if self.int8:
            first = self.tensors[f"{name}.fc1.weight"][:, :, 0, 0], self.tensors[f"{name}.fc1.bias"]
            h = self.maps(self.linear(self.graph.gelu(self.linear(self.rows(h), *first)), weight, bias))
        else:
            h = self.convolve(self.graph.gelu(self.conv(h, f"{name}.fc1")), weight[:, :, None, None], bias)
        return self.graph.node("Add", x, h)

    def norm(self, x, name):
        """LayerNorm over the channels of each pixel. -> rows"""
        weight, bias = (self.graph.constant(self.tensors[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.graph.node("LayerNormalization", self.rows(x), weight, bias, axis=-1, epsilon=EPS)

    def attention(self, x, name):
        """x + scale * attention(norm(x)); a BatchNorm goes into the weights."""
        g, width, pixels = self.graph, self.channels, self.side ** 2
        heads = width // HEAD
        weight, bias = self.tensors[f"{name}.token_mixer.qkv.weight"], np.zeros(3 * width, np.float32)
        if f"{name}.norm.running_mean" in self.tensors:
            factor, summand = self.batch_norm(f"{name}.norm")
            rows, weight, bias = self.rows(x), weight * factor, weight @ summand
        else:
            rows = self.norm(x, f"{name}.norm")
        qkv = g.reshape(self.linear(rows, weight, bias), [1, pixels, 3, heads, HEAD])
        parts = g.split(g.node("Transpose", qkv, perm=[2, 0, 3, 1, 4]), [1, 1, 1], axis=0)
        q, k, v = (g.reshape(part, [1, heads, pixels, HEAD]) for part in parts)
        scores = g.node("MatMul", g.node("Mul", q, g.constant(HEAD ** -0.5)), g.node("Transpose", k, perm=[0, 1, 3, 2]))
        mixed = g.node("MatMul", g.node("Softmax", scores, axis=-1), v)
        mixed = g.reshape(g.node("Transpose", mixed, perm=[0, 2, 1, 3]), [1, pixels, width])
        projection = self.scaled(f"{name}.token_mixer.proj", self.tensors[f"{name}.layer_scale_1"])
        return g.node("Add", x, self.maps(self.linear(mixed, *projection)))

    def block(self, x, name):
        if f"{name}.token_mixer.qkv.weight" in self.tensors:
            return self.ffn(self.attention(x, name), f"{name}.convffn", self.tensors[f"{name}.layer_scale_2"])
        x = self.conv(x, f"{name}.token_mixer.reparam_conv")
        return self.ffn(x, f"{name}.convffn", self.tensors[f"{name}.layer_scale"])

    def squeeze(self, x, name, reduce, expand):
        """Squeeze-and-excite, where the network has it."""
        if f"{name}.{reduce}.weight" not in self.tensors:
            return x
        g = self.graph
        means = g.node("ReduceMean", x, axes=[2, 3], keepdims=1)
        constants = [self.tensors[f"{name}.{layer}.{part}"] for layer in (reduce, expand) for part in ("weight", "bias")]
        hidden = g.node("Relu", g.conv(means, *constants[:2]))
        return g.node("Mul", x, g.node("Sigmoid", g.conv(hidden, *constants[2:])))

    def downsample(self, x, name):
        x = self.conv(x, f"{name}.proj.0.lkb_reparam", 2)
        x = self.graph.gelu(self.squeeze(x, f"{name}.proj.0.se", "fc1", "fc2"))
        if not self.int8:
            return self.graph.gelu(self.conv(x, f"{name}.proj.1.reparam_conv"))
        weight, bias = (self.tensors[f"{name}.proj.1.reparam_conv.{part}"] for part in ("weight", "bias"))
        return self.maps(self.graph.gelu(self.linear(self.rows(x), weight[:, :, 0, 0], bias)))

    def module(self, x, name):
        if f"{name}.proj.0.lkb_reparam.weight" in self.tensors:
            return self.downsample(x, name)
        if f"{name}.reparam_conv.weight" in self.tensors:
            return self.conv(x, f"{name}.reparam_conv")
        block = 0
        while f"{name}.{block}.convffn.fc1.weight" in self.tensors:
            x = self.block(x, f"{name}.{block}")
            block += 1
        return x


def build(tensors, side, int8=False):
    """tensors: {name: array} of a LLaVA checkpoint's tower. -> onnx model."""
    tower = _Tower(tensors, side, int8)
    x = "input"
    for index, stride in enumerate((2, 2, 1)):
        x = tower.graph.gelu(tower.conv(x, f"patch_embed.{index}.reparam_conv", stride))
    module = 0
    while any(name.startswith(f"network.{module}.") for name in tower.tensors):
        x = tower.module(x, f"network.{module}")
        module += 1
    x = tower.squeeze(tower.conv(x, "conv_exp.reparam_conv"), "conv_exp.se", "reduce", "expand")
    tower.graph.output(tower.graph.gelu(x), [1, tower.channels, tower.side, tower.side])
    return tower.graph.model()
