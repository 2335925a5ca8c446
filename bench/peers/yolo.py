# SPDX-License-Identifier: Apache-2.0
"""YOLO11n as an ONNX graph, from a safetensors file with folded BatchNorms.

Outputs are those of the head's last convolutions, for each of the three grids: `boxes` [1, 64, h, w] (16 logits for each
of four distances) and `scores` [1, 80, h, w] (logits). fastvlm's network ends at the same place.
"""
import numpy as np

from onnx_graph import Graph

BINS = 16
STRIDES = (8, 16, 32)


class _Network:
    def __init__(self, tensors, height, width):
        self.tensors = tensors
        self.graph = Graph([1, 3, height, width])

    def conv(self, x, name, stride=1, act=True):
        """One convolution; depthwise where the weights have one input."""
        prefix = f"model.{name}.conv" if f"model.{name}.conv.weight" in self.tensors else f"model.{name}"
        weight, bias = self.tensors[prefix + ".weight"], self.tensors[prefix + ".bias"]
        groups = weight.shape[0] if weight.shape[1] == 1 else 1
        y = self.graph.conv(x, weight, bias, stride, groups)
        return self.graph.silu(y) if act else y

    def outputs_of(self, name):
        return self.tensors[f"model.{name}.conv.weight"].shape[0]

    def bottleneck(self, x, name):
        y = self.conv(self.conv(x, name + ".cv1"), name + ".cv2")
        return self.graph.node("Add", x, y)

    def inner_csp(self, x, name):
        y = self.conv(x, name + ".cv1")
        for block in range(2):
            y = self.bottleneck(y, f"{name}.m.{block}")
        return self.conv(self.graph.concat(y, self.conv(x, name + ".cv2")), name + ".cv3")

    def c3k2(self, x, name):
        half = self.outputs_of(f"{name}.cv1") // 2
        parts = self.graph.split(self.conv(x, f"{name}.cv1"), [half, half], axis=1)
        inner = self.inner_csp if f"model.{name}.m.0.cv3.conv.weight" in self.tensors else self.bottleneck
        parts.append(inner(parts[-1], f"{name}.m.0"))
        return self.conv(self.graph.concat(*parts), f"{name}.cv2")

    def sppf(self, x, name):
        parts = [self.conv(x, f"{name}.cv1")]
        for _ in range(3):
            parts.append(self.graph.node("MaxPool", parts[-1], kernel_shape=[5, 5], pads=[2] * 4, strides=[1, 1]))
        return self.conv(self.graph.concat(*parts), f"{name}.cv2")

    def attention(self, x, name, pixels):
        """Heads of 64 values and 32 queries and keys, over all pixels."""
        g = self.graph
        width = self.outputs_of(f"{name}.proj")
        heads, value, key = width // 64, 64, 32
        height, length = pixels
        qkv = g.reshape(self.conv(x, f"{name}.qkv", act=False), [1, heads, 2 * key + value, height * length])
        q, k, v = g.split(qkv, [key, key, value], axis=2)
        scores = g.node("MatMul", g.node("Transpose", q, perm=[0, 1, 3, 2]), k)
        weights = g.node("Softmax", g.node("Mul", scores, g.constant(key ** -0.5)), axis=-1)
        mixed = g.node("MatMul", v, g.node("Transpose", weights, perm=[0, 1, 3, 2]))
        maps = [1, width, height, length]
        position = self.conv(g.reshape(v, maps), f"{name}.pe", act=False)
        return self.conv(g.node("Add", g.reshape(mixed, maps), position), f"{name}.proj", act=False)

    def c2psa(self, x, name, pixels):
        half = self.outputs_of(f"{name}.cv1") // 2
        first, second = self.graph.split(self.conv(x, f"{name}.cv1"), [half, half], axis=1)
        second = self.graph.node("Add", second, self.attention(second, f"{name}.m.0.attn", pixels))
        expanded = self.conv(second, f"{name}.m.0.ffn.0")
        second = self.graph.node("Add", second, self.conv(expanded, f"{name}.m.0.ffn.1", act=False))
        return self.conv(self.graph.concat(first, second), f"{name}.cv2")

    def upsample(self, x):
        return self.graph.node("Resize", x, "", self.graph.constant([1, 1, 2, 2]), mode="nearest",
                               coordinate_transformation_mode="asymmetric", nearest_mode="floor")

    def head(self, x, level, pixels):
        boxes = self.conv(self.conv(x, f"23.cv2.{level}.0"), f"23.cv2.{level}.1")
        self.graph.output(self.conv(boxes, f"23.cv2.{level}.2", act=False), [1, 4 * BINS, *pixels])
        for layer in ("0.0", "0.1", "1.0", "1.1"):
            x = self.conv(x, f"23.cv3.{level}.{layer}")
        self.graph.output(self.conv(x, f"23.cv3.{level}.2", act=False), [1, 80, *pixels])


def build(tensors, height=640, width=640):
    """tensors: {name: array}; 32 divides height and width. -> onnx model."""
    net = _Network(tensors, height, width)
    cat = net.graph.concat
    x = net.c3k2(net.conv(net.conv("input", "0", 2), "1", 2), "2")
    p3 = net.c3k2(net.conv(x, "3", 2), "4")
    p4 = net.c3k2(net.conv(p3, "5", 2), "6")
    p5 = net.c3k2(net.conv(p4, "7", 2), "8")
    p5 = net.c2psa(net.sppf(p5, "9"), "10", (height // 32, width // 32))
    n4 = net.c3k2(cat(net.upsample(p5), p4), "13")
    out3 = net.c3k2(cat(net.upsample(n4), p3), "16")
    out4 = net.c3k2(cat(net.conv(out3, "17", 2), n4), "19")
    out5 = net.c3k2(cat(net.conv(out4, "20", 2), p5), "22")
    for level, x in enumerate((out3, out4, out5)):
        net.head(x, level, (height // STRIDES[level], width // STRIDES[level]))
    return net.graph.model()


def decode(outputs, height, width):
    """outputs: one flat array, all outputs in order. -> [84, cells]: corners in input pixels, then probabilities."""
    decoded, at = [], 0
    for stride in STRIDES:
        h, w = height // stride, width // stride
        boxes, scores = np.split(outputs[at:at + (4 * BINS + 80) * h * w].reshape(-1, h * w), [4 * BINS])
        at += (4 * BINS + 80) * h * w
        weights = np.exp(boxes.reshape(4, BINS, h * w))
        left, top, right, bottom = np.einsum("sbc,b->sc", weights / weights.sum(1, keepdims=True), np.arange(BINS))
        y, x = (grid.reshape(-1) + 0.5 for grid in np.mgrid[:h, :w])
        corners = np.stack([x - left, y - top, x + right, y + bottom]) * stride
        decoded.append(np.concatenate([corners, 1 / (1 + np.exp(-scores))]))
    return np.concatenate(decoded, axis=1)
