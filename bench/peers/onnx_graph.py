# SPDX-License-Identifier: Apache-2.0
"""Builds ONNX graphs of convolutional networks, maps as [1, C, H, W] in fp32."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class Graph:
    """Each method appends nodes and returns the name of their output."""

    def __init__(self, input_shape):
        self.input = helper.make_tensor_value_info("input", TensorProto.FLOAT, input_shape)
        self.nodes = []
        self.constants = []
        self.outputs = []

    def node(self, kind, *inputs, outputs=None, **attributes):
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs or 1)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"{kind}_{len(self.nodes)}", **attributes))
        return names if outputs else names[0]

    def constant(self, value, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype), name))
        return name

    def output(self, name, shape):
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def conv(self, x, weight, bias=None, stride=1, groups=1):
        kernel = weight.shape[2]
        inputs = [x, self.constant(weight)] + ([] if bias is None else [self.constant(bias)])
        return self.node("Conv", *inputs, kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4,
                         strides=[stride] * 2, group=groups)

    def silu(self, x):
        return self.node("Mul", x, self.node("Sigmoid", x))

    def gelu(self, x):
        """The exact one, in the five nodes that PyTorch exports and ONNX Runtime fuses."""
        erf = self.node("Erf", self.node("Div", x, self.constant(np.sqrt(2.0))))
        product = self.node("Mul", x, self.node("Add", erf, self.constant(1.0)))
        return self.node("Mul", product, self.constant(0.5))

    def split(self, x, sizes, axis):
        return self.node("Split", x, self.constant(sizes, np.int64), outputs=len(sizes), axis=axis)

    def reshape(self, x, shape):
        return self.node("Reshape", x, self.constant(shape, np.int64))

    def concat(self, *maps):
        return self.node("Concat", *maps, axis=1)

    def int8_linear(self, x, weight, bias=None):
        """x: [..., inputs], weight: [outputs, inputs]. ONNX Runtime's product with weights of 8 bits, one scale an output,
        and activations rounded to 8 bits by the largest and least of them."""
        scales = np.abs(weight).max(1).clip(1e-12) / 127
        integers = np.round(weight / scales[:, None]).astype(np.int8)
        zeros = np.zeros(len(scales))
        inputs = [x, self.constant(integers.T, np.int8), self.constant(scales), self.constant(zeros, np.int8)]
        if bias is not None:
            inputs.append(self.constant(bias))
        return self.node("DynamicQuantizeMatMul", *inputs, domain="com.microsoft")

    def model(self):
        graph = helper.make_graph(self.nodes, "network", [self.input], self.outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)])
        model.ir_version = 8
        return model


def save(model, path):
    onnx.checker.check_model(model)
    onnx.save(model, path)
