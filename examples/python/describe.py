#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Describes a picture through libfastvlm.so, with nothing but Python itself: describe.py MODEL PICTURE"""

import ctypes
import json
import os
import sys

TEXT_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p)
PROGRESS_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_void_p)


class Request(ctypes.Structure):
    """fastvlm_request; a field that is left out is zero, which means the usual."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("prompt", ctypes.c_char_p),
        ("tags", ctypes.c_char_p),
        ("image_name", ctypes.c_char_p),
        ("max_tokens", ctypes.c_int64),
        ("temperature", ctypes.c_double),
        ("top_p", ctypes.c_double),
        ("top_k", ctypes.c_int32),
        ("free", ctypes.c_int32),
        ("seed", ctypes.c_uint64),
        ("on_text", TEXT_CALLBACK),
        ("on_progress", PROGRESS_CALLBACK),
        ("user_data", ctypes.c_void_p),
        ("cancel", ctypes.c_void_p),
    ]


def open_library():
    """FASTVLM_LIBRARY names the file where the system's loader does not find it."""
    library = ctypes.CDLL(os.environ.get("FASTVLM_LIBRARY", "libfastvlm.so.0"))
    handle = ctypes.c_void_p
    out = ctypes.POINTER(ctypes.c_void_p)
    for name in ("last_error", "last_hint"):
        getattr(library, "fastvlm_" + name).restype = ctypes.c_char_p
    library.fastvlm_model_load.argtypes = [ctypes.c_char_p, handle, out]
    library.fastvlm_session_new.argtypes = [handle, out]
    library.fastvlm_describe_file.argtypes = [handle, ctypes.c_char_p, ctypes.POINTER(Request), out]
    library.fastvlm_result_json.argtypes = [handle, ctypes.c_uint32, out]
    for name in ("model", "session", "result", "string"):
        getattr(library, f"fastvlm_{name}_free").argtypes = [handle]
        getattr(library, f"fastvlm_{name}_free").restype = None
    return library


class FastVLM:
    """A model and one session of it."""

    def __init__(self, model):
        self.library = open_library()
        self.model, self.session = ctypes.c_void_p(), ctypes.c_void_p()
        self.check(self.library.fastvlm_model_load(os.fsencode(model), None, ctypes.byref(self.model)))
        self.check(self.library.fastvlm_session_new(self.model, ctypes.byref(self.session)))

    def check(self, status):
        if status != 0:
            message = self.library.fastvlm_last_error().decode()
            hint = self.library.fastvlm_last_hint().decode()
            raise RuntimeError(f"{message}\nhint: {hint}" if hint else message)

    def describe(self, picture, **fields):
        """A caption as docs/caption.schema.json says it; `fields` are those of Request."""
        request = Request(struct_size=ctypes.sizeof(Request), **fields)
        result, text = ctypes.c_void_p(), ctypes.c_void_p()
        self.check(self.library.fastvlm_describe_file(
            self.session, os.fsencode(picture), ctypes.byref(request), ctypes.byref(result)))
        try:
            self.check(self.library.fastvlm_result_json(result, 0, ctypes.byref(text)))
            return json.loads(ctypes.string_at(text))
        finally:
            self.library.fastvlm_string_free(text)
            self.library.fastvlm_result_free(result)

    def close(self):
        self.library.fastvlm_session_free(self.session)
        self.library.fastvlm_model_free(self.model)
        self.session, self.model = None, None


def main():
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} MODEL PICTURE")
    try:
        fastvlm = FastVLM(sys.argv[1])
        caption = fastvlm.describe(sys.argv[2])
        fastvlm.close()
    except (OSError, RuntimeError) as problem:
        sys.exit(f"describe: {problem}")
    print(caption["text"])
    print("main focus:", caption["sections"]["main_focus"], file=sys.stderr)


if __name__ == "__main__":
    main()
