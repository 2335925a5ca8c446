# SPDX-License-Identifier: Apache-2.0
"""An fp32 ONNX graph as int8, in the form that ONNX Runtime's static quantisation writes (QDQ): activations unsigned 8 bits,
one scale a map; weights signed 8 bits, one scale an output.

The ranges of activations are made up, not calibrated: 0..1 after Sigmoid and Softmax, -4..4 elsewhere.  Outputs therefore mean
nothing; the time does not depend on the ranges.
"""
import numpy as np
import onnx
from onnx import helper, numpy_helper

EVERYTHING = {"Conv", "MatMul", "Add", "Mul", "Sigmoid", "Softmax", "Concat", "MaxPool", "Resize", "Split", "Reshape",
              "Transpose"}
DATA_INPUTS = {"Resize": 1, "Split": 1, "Reshape": 1}  # further inputs are sizes
UNIT_RANGE = {"Sigmoid", "Softmax"}


class _Quantiser:
    def __init__(self, model, kinds):
        self.kinds = kinds
        self.graph = model.graph
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.graph.initializer}
        self.producers = {name: node for node in self.graph.node for name in node.output}
        self.added = []
        self.pairs = {}
        self.nodes = []

    def add(self, value, name):
        self.added.append(numpy_helper.from_array(value, name))
        return name

    def scale_of(self, name):
        """Of an activation. Nodes that only move numbers keep the scale of what they move."""
        producer = self.producers.get(name)
        while producer is not None and producer.op_type in ("Reshape", "Transpose", "Split", "MaxPool", "Resize"):
            name = producer.input[0]
            producer = self.producers.get(name)
        unit = producer is not None and producer.op_type in UNIT_RANGE
        return (np.float32(1 / 255), np.uint8(0)) if unit else (np.float32(8 / 255), np.uint8(128))

    def activation(self, name):
        """-> name of the same activation behind a pair of QuantizeLinear and DequantizeLinear."""
        if name not in self.pairs:
            scale, zero = self.scale_of(name)
            parameters = [self.add(scale, name + "_scale"), self.add(zero, name + "_zero")]
            self.nodes.append(helper.make_node("QuantizeLinear", [name] + parameters, [name + "_q"], name + "_Q"))
            self.nodes.append(helper.make_node("DequantizeLinear", [name + "_q"] + parameters, [name + "_dq"], name + "_DQ"))
            self.pairs[name] = name + "_dq"
        return self.pairs[name]

    def constant(self, name):
        """A factor or summand: symmetric, one scale."""
        value = self.constants[name]
        scale = np.float32(max(np.abs(value).max(), 1e-12) / 127)
        return self.dequantised(name, np.round(value / scale).astype(np.int8), scale, np.int8(0), None)

    def dequantised(self, name, integers, scale, zero, axis):
        inputs = [self.add(integers, name + "_i"), self.add(scale, name + "_scale"), self.add(zero, name + "_zero")]
        attributes = {} if axis is None else {"axis": axis}
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [name + "_f"], name + "_DQ", **attributes))
        return name + "_f"

    def conv(self, node):
        x, weight = node.input[0], self.constants[node.input[1]]
        outputs = weight.shape[0]
        scales = (np.abs(weight).reshape(outputs, -1).max(1).clip(1e-12) / 127).astype(np.float32)
        integers = np.round(weight / scales.reshape(-1, 1, 1, 1)).astype(np.int8)
        inputs = [self.activation(x), self.dequantised(node.input[1], integers, scales, np.zeros(outputs, np.int8), 0)]
        if len(node.input) > 2:
            bias_scales = scales * self.scale_of(x)[0]
            bias = np.round(self.constants[node.input[2]] / bias_scales.astype(np.float64))
            bias = bias.clip(-2**31, 2**31 - 1).astype(np.int32)
            inputs.append(self.dequantised(node.input[2], bias, bias_scales, np.zeros(outputs, np.int32), 0))
        return inputs

    def inputs_of(self, node):
        if node.op_type == "Conv":
            return self.conv(node)
        count = DATA_INPUTS.get(node.op_type, len(node.input))
        data = [self.constant(name) if name in self.constants else self.activation(name) for name in node.input[:count]]
        return data + list(node.input[count:])

    def run(self):
        for node in self.graph.node:
            wanted = node.op_type in self.kinds
            inputs = self.inputs_of(node) if wanted else [self.pairs.get(name, name) for name in node.input]
            del node.input[:]
            node.input.extend(inputs)
            self.nodes.append(node)
            for name in node.output if wanted else ():
                self.activation(name)
        for output in self.graph.output:
            output.name = self.pairs.get(output.name, output.name)
        used = {name for node in self.nodes for name in node.input}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in used]
        for field, values in ((self.graph.node, self.nodes), (self.graph.initializer, kept + self.added)):
            del field[:]
            field.extend(values)


def quantise(model, kinds=EVERYTHING):
    """-> a copy in which nodes of these kinds compute in 8 bits."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _Quantiser(copy, kinds).run()
    return copy
