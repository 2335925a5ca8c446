# SPDX-License-Identifier: Apache-2.0
"""Writes Qwen2-0.5B with made-up weights as a GGUF file for llama.cpp: all matrices Q4_0, norms and biases fp32.

GGUF: magic, version 3, counts; keys and values; names, shapes (innermost first) and offsets of tensors; their data, each at a
multiple of 32 bytes.  A block of Q4_0 is an fp16 scale and 32 values of 4 bits in 16 bytes.
"""
import struct

import numpy as np

from qwen2_shapes import HEADS, HIDDEN, INTERMEDIATE, KV_HEADS, KV_WIDTH, LAYERS, ROTARY_BASE, RMS_EPS, VOCABULARY

F32, Q4_0 = 0, 2
TYPES = {int: (4, "<I"), float: (6, "<f")}
ALIGNMENT = 32
SCALE = 0.01


def _string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def _value(value):
    if isinstance(value, str):
        return struct.pack("<I", 8) + _string(value)
    if isinstance(value, list):
        kind = 8 if isinstance(value[0], str) else 5  # strings, or i32
        items = b"".join(map(_string, value)) if kind == 8 else np.array(value, "<i4").tobytes()
        return struct.pack("<IIQ", 9, kind, len(value)) + items
    kind, form = TYPES[type(value)]
    return struct.pack("<I", kind) + struct.pack(form, value)


def _keys():
    prefix = "qwen2."
    return {
        "general.architecture": "qwen2",
        "general.name": "Qwen2-0.5B with made-up weights",
        prefix + "block_count": LAYERS,
        prefix + "context_length": 32768,
        prefix + "embedding_length": HIDDEN,
        prefix + "feed_forward_length": INTERMEDIATE,
        prefix + "attention.head_count": HEADS,
        prefix + "attention.head_count_kv": KV_HEADS,
        prefix + "attention.layer_norm_rms_epsilon": RMS_EPS,
        prefix + "rope.freq_base": ROTARY_BASE,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": [f"<{i}>" for i in range(VOCABULARY)],
        "tokenizer.ggml.token_type": [1] * VOCABULARY,
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.eos_token_id": VOCABULARY - 1,
    }


def _tensors():
    """-> names, shapes [outputs, inputs] or [width], types."""
    yield "token_embd.weight", (VOCABULARY, HIDDEN), Q4_0
    yield "output_norm.weight", (HIDDEN,), F32
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        for name, width in (("attn_norm.weight", HIDDEN), ("ffn_norm.weight", HIDDEN), ("attn_q.bias", HIDDEN),
                            ("attn_k.bias", KV_WIDTH), ("attn_v.bias", KV_WIDTH)):
            yield block + name, (width,), F32
        for name, shape in (("attn_q", (HIDDEN, HIDDEN)), ("attn_k", (KV_WIDTH, HIDDEN)), ("attn_v", (KV_WIDTH, HIDDEN)),
                            ("attn_output", (HIDDEN, HIDDEN)), ("ffn_gate", (INTERMEDIATE, HIDDEN)),
                            ("ffn_up", (INTERMEDIATE, HIDDEN)), ("ffn_down", (HIDDEN, INTERMEDIATE))):
            yield block + name + ".weight", shape, Q4_0


def _data(shape, kind, random):
    count = int(np.prod(shape))
    if kind == F32:
        return np.ones(count, "<f4").tobytes()
    blocks = np.empty(count // 32, [("scale", "<f2"), ("values", "u1", 16)])
    blocks["scale"] = SCALE
    blocks["values"] = random.integers(0, 256, (count // 32, 16), np.uint8)
    return blocks.tobytes()


def _bytes_of(shape, kind):
    return int(np.prod(shape)) * 4 if kind == F32 else int(np.prod(shape)) // 32 * 18


def _padded(size):
    return -size % ALIGNMENT


def write(path):
    keys, tensors = _keys(), list(_tensors())
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    header += b"".join(_string(key) + _value(value) for key, value in keys.items())
    offset = 0
    for name, shape, kind in tensors:
        header += _string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], kind, offset)
        offset += _bytes_of(shape, kind)
        offset += _padded(offset)
    random = np.random.default_rng(1)
    with open(path, "wb") as out:
        out.write(header + bytes(_padded(len(header))))
        for _, shape, kind in tensors:
            data = _data(shape, kind, random)
            out.write(data + bytes(_padded(len(data))))
