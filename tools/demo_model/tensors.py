# SPDX-License-Identifier: Apache-2.0
"""A small safetensors reader and writer: u64 header length, JSON header, raw little-endian data."""
import json
import struct

import numpy as np

TYPES = {"F16": np.float16, "F32": np.float32, "U32": np.uint32, "I64": np.int64, "U8": np.uint8}
NAMES = {np.dtype(t): n for n, t in TYPES.items()}


def save(path, arrays, metadata):
    """arrays: {name: numpy array}; metadata: {str: str}."""
    header, at = {"__metadata__": metadata}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            out.write(np.ascontiguousarray(array).tobytes())


def load(path):
    """-> {name: numpy array}."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    out = {}
    for name, info in header.items():
        if name != "__metadata__":
            a, b = (8 + length + v for v in info["data_offsets"])
            out[name] = np.frombuffer(data[a:b], TYPES[info["dtype"]]).reshape(info["shape"])
    return out
