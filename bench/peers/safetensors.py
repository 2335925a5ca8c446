# SPDX-License-Identifier: Apache-2.0
"""Reads and writes safetensors files: u64 length of the header, JSON header, raw little-endian data."""
import json
import struct

import numpy as np

TYPES = {"F32": np.float32, "F16": np.float16, "U32": np.uint32, "I64": np.int64, "U8": np.uint8}


def load(path):
    """-> {name: array}; arrays of types that numpy lacks (BF16) are left out. Data is mapped, not read."""
    data = np.memmap(path, np.uint8, "r")
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(bytes(data[8:8 + length]))
    arrays = {}
    for name, info in header.items():
        if name != "__metadata__" and info["dtype"] in TYPES:
            begin, end = (8 + length + offset for offset in info["data_offsets"])
            arrays[name] = data[begin:end].view(TYPES[info["dtype"]]).reshape(info["shape"])
    return arrays


def save_bytes(path, name, array):
    """One array of unsigned bytes."""
    header = json.dumps({name: {"dtype": "U8", "shape": list(array.shape), "data_offsets": [0, array.nbytes]}}).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(struct.pack("<Q", len(header)) + header + array.tobytes())
