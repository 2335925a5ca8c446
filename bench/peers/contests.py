# SPDX-License-Identifier: Apache-2.0
"""Who competes in what. Models are made here, and compared with known outputs before anything is timed."""
import dataclasses
import struct
import subprocess
import zlib

import numpy as np

import fastvit
import gguf
import onnx_graph
import onnx_int8
import safetensors
import yolo
from programs import (bench, checkpoint, detect_bench, ik_llama, llama, lora_torch, onnx_outputs, onnx_runtime, torch,
                      train_bench, training_form)
from turns import WrongOutput

THREADS = 2
PROMPT, ANSWER = 320, 64
LONG_PROMPT = 530        # five object tags and the seven points behind the picture
LENGTH, SUPERVISED = 512, 232
ATTENTION = {"MatMul", "Softmax"}


@dataclasses.dataclass
class Ratio:
    """Our time beside a peer's, or beside the sum of several tests of peers."""
    test: str
    threads: int
    ours: str                # arithmetic
    peer: str                # how program and arithmetic begin
    target: float = 0        # 0: none
    and_then: tuple = ()     # a further test, and how program and arithmetic begin
    peer_test: str = ""      # if the peer's has another name


@dataclasses.dataclass
class Contest:
    tests: dict              # {name: tokens, or 0}
    contestants: list
    ratios: list
    notes: list


def require_close(what, found, expected, tolerance):
    difference = float(np.abs(found - expected).max())
    if not difference <= tolerance:
        raise WrongOutput(f"{what}: ONNX Runtime's output differs by {difference:.2g}, more than {tolerance:g}")
    return f"{what}: before the timing, ONNX Runtime's fp32 output was compared: largest difference {difference:.1g}"


# The detector

def detector(setting, repetitions=20):
    test, tensors = "YOLO11n 640", safetensors.load(setting.detector)
    notes = ["YOLO11n: from 640 x 640 pixels in memory to the logits of boxes and classes",
             "YOLO11n on ONNX Runtime at int8: QDQ form without attention; ranges of activations are made up"]
    if setting.goldens:
        notes.append(check_detector(setting, tensors))
    model = yolo.build(tensors)
    models = {"fp32": model, "int8": onnx_int8.quantise(model, onnx_int8.EVERYTHING - ATTENTION)}
    picture = setting.work / "noise.png"
    write_png(picture, np.random.default_rng(1).integers(0, 256, (640, 640, 3), np.uint8))
    contestants = []
    for arithmetic in ("fp32", "int8", "bf16"):
        contestants.append(detect_bench(setting, picture, arithmetic, THREADS, repetitions, test))
        if arithmetic in models:
            path = setting.work / f"yolo11n_{arithmetic}.onnx"
            onnx_graph.save(models[arithmetic], path)
            contestants.append(onnx_runtime(setting, path, [1, 3, 640, 640], arithmetic, THREADS, repetitions, test))
    ratios = [Ratio(test, THREADS, "fp32", "ONNX Runtime fp32", 1.3), Ratio(test, THREADS, "int8", "ONNX Runtime fp32", 2.0),
              Ratio(test, THREADS, "bf16", "ONNX Runtime fp32"), Ratio(test, THREADS, "int8", "ONNX Runtime int8")]
    return Contest({test: 0}, contestants, ratios, notes)


def check_detector(setting, tensors):
    known = safetensors.load(setting.goldens)
    height, width = known["input"].shape[2:]
    path = setting.work / "yolo11n_check.onnx"
    onnx_graph.save(yolo.build(tensors, height, width), path)
    found = yolo.decode(onnx_outputs(setting, path, known["input"]), height, width)
    return require_close("YOLO11n and its golden", found, known["output"][0], 2e-3)


def write_png(path, pixels):
    """pixels: [height, width, 3] u8."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


# The towers

def tower(setting, name, kind, side, repetitions, targets, tests_of_int8=("-p", "1", "-n", "1")):
    """targets: {(our arithmetic, arithmetic of ONNX Runtime): ratio}"""
    test, folder = f"tower {side}", checkpoint(setting, kind)
    tensors = safetensors.load(folder / "vision_tower.safetensors")
    paths = {arithmetic: setting.work / f"{kind}_{arithmetic}.onnx" for arithmetic in ("fp32", "int8")}
    for arithmetic, path in paths.items():
        if not path.exists():
            onnx_graph.save(fastvit.build(tensors, side, arithmetic == "int8"), path)
    notes = [f"{name}: weights of `fastvlm dev make-checkpoint --kind {kind}` for both, from pixels to tokens",
             f"{name} on ONNX Runtime at int8: 1x1 convolutions as products of 8 bits, activations rounded by their range",
             check_tower(setting, name, folder, paths["fp32"], side)]
    contestants = []
    for arithmetic in ("fp32", "int8", "bf16"):
        options = tests_of_int8 if arithmetic == "int8" else ("-p", "1", "-n", "1")
        contestants.append(bench(setting, folder, arithmetic, THREADS, repetitions, *options))
        if arithmetic in paths:
            shape = [1, 3, side, side]
            contestants.append(onnx_runtime(setting, paths[arithmetic], shape, arithmetic, THREADS, repetitions, test))
    ratios = [Ratio(test, THREADS, ours, f"ONNX Runtime {peer}", target) for (ours, peer), target in targets.items()]
    return Contest({test: 0}, contestants, ratios, notes)


def check_tower(setting, name, folder, model, side):
    """Beside fastvlm's own fp32 path, which has goldens of its own."""
    pixels = np.random.default_rng(1).integers(0, 256, (3, side, side), np.uint8)
    given, dumped = setting.work / "pixels.safetensors", setting.work / "dump.safetensors"
    safetensors.save_bytes(given, "pixels", pixels)
    command = [setting.build / "fastvlm", "dump", "--model", folder, "--pixels", given, "--pixels-key", "pixels",
               "--only", "vision", "--precision", "fp32", "--out", dumped]
    subprocess.run(command, check=True, stdout=2)
    expected = np.array(safetensors.load(dumped)["conv_exp"]).reshape(-1)
    dumped.unlink()  # holds every stage
    found = onnx_outputs(setting, model, pixels[None] / np.float32(255))
    return require_close(f"{name} and fastvlm", found, expected, 1e-3 * float(np.abs(expected).max()))


def small_tower(setting):
    targets = {("fp32", "fp32"): 0, ("int8", "fp32"): 2.8, ("int8", "int8"): 1.8}
    return tower(setting, "MobileCLIP-S0", "s0-0.5b", 256, 20, targets)


def large_tower(setting, repetitions=3):
    """And the first token: ONNX Runtime's tower and then llama.cpp's prompt are the peer."""
    targets = {("fp32", "fp32"): 0, ("bf16", "fp32"): 1.9, ("int8", "fp32"): 3.1, ("int8", "int8"): 1.75}
    options = ("-p", str(PROMPT), str(LONG_PROMPT), "-n", "1")
    contest = tower(setting, "FastViTHD", "hd-0.5b", 1024, repetitions, targets, options)
    for tokens, beside_fp32 in ((PROMPT, 2.9), (LONG_PROMPT, 2.8)):
        prompt, first = f"prompt {tokens}", f"first token 1024 + {tokens - 256}"
        contest.tests.update({prompt: tokens, first: 0})
        contest.contestants.append(llama(setting, gguf_file(setting), tokens, 1, THREADS, repetitions))
        for arithmetic, target in (("fp32", beside_fp32), ("int8", 0)):
            contest.ratios.append(Ratio(first, THREADS, "int8", f"ONNX Runtime {arithmetic}", target,
                                        and_then=(prompt, "llama.cpp"), peer_test="tower 1024"))
    return contest


# The language model

def language(setting, repetitions=3):
    folder, model = checkpoint(setting, "s0-0.5b"), gguf_file(setting)
    options = ("--image-sizes", "64", "-p", str(PROMPT), "-n", str(ANSWER))
    contestants = []
    for threads in (THREADS, 1):
        contestants.append(bench(setting, folder, "int8", threads, repetitions, *options))
        contestants.append(llama(setting, model, PROMPT, ANSWER, threads, repetitions))
        if setting.ik:
            contestants.append(ik_llama(setting, model, PROMPT, ANSWER, threads, repetitions))
    contestants += [torch(setting, arithmetic, PROMPT, ANSWER, THREADS, 1) for arithmetic in ("fp32", "bf16")]
    prompt, answer = f"prompt {PROMPT}", f"answer {ANSWER}"
    ratios = [Ratio(prompt, THREADS, "int8", "llama.cpp", 2.3), Ratio(answer, THREADS, "int8", "llama.cpp", 1.15),
              Ratio(answer, 1, "int8", "llama.cpp", 1.4)]
    ratios += [Ratio(prompt, THREADS, "int8", "ik_llama.cpp", 1.5), Ratio(answer, THREADS, "int8", "ik_llama.cpp")]
    ratios += [Ratio(test, THREADS, "int8", f"PyTorch{kind}") for test in (prompt, answer) for kind in (" fp32", " bf16")]
    notes = ["Qwen2-0.5B, made-up weights: 4.5 bits a weight here and in Q4_0; PyTorch holds them as fp32 or bf16",
             f"prompt: {PROMPT} tokens at once, head for the last; answer: {ANSWER} tokens one by one behind it"]
    return Contest({prompt: PROMPT, answer: ANSWER}, contestants, ratios, notes)


def gguf_file(setting):
    path = setting.work / "qwen2_q4_0.gguf"
    if not path.exists():
        gguf.write(path)
    return path


# Fine-tuning

def training(setting, batch, steps, ours):
    """ours: (arithmetic, base, train's --gradient-checkpointing)."""
    test = f"LoRA step {batch} x {LENGTH}"
    shape = (batch, LENGTH, SUPERVISED, THREADS, steps, test)
    contestants = [train_bench(setting, base, arithmetic, every, *shape) for arithmetic, base, every in ours]
    contestants += [lora_torch(setting, arithmetic, *shape) for arithmetic in ("fp32", "bf16")]
    ratios = [Ratio(test, THREADS, training_form(arithmetic, base, every), f"PyTorch {peer}",
                    2.5 if (arithmetic, peer) == ("bf16", "fp32") else 0)
              for arithmetic, base, every in ours for peer in ("fp32", "bf16")]
    notes = ["Qwen2-0.5B, made-up weights; adapter of rank 128 on all linear layers of the blocks (70.4 million parameters), dropout "
             f"0.1, AdamW; {SUPERVISED} of {LENGTH} positions supervised; every block run again on the way back, unless all activations "
             "are kept",
             "PyTorch holds the base as fp32 or bf16 (products by autocast), and sees the samples of a batch together"]
    return Contest({test: batch * LENGTH}, contestants, ratios, notes)


def single_step(setting):
    return training(setting, 1, 3, [("fp32", "4 bits", 1), ("bf16", "4 bits", 1), ("bf16", "bf16", 1)])


def batch_step(setting):
    """fastvlm runs the samples one by one: the activations of one alone may be kept."""
    return training(setting, 8, 1, [("bf16", "4 bits", 1), ("bf16", "4 bits", 0)])


CONTESTS = {"yolo": detector, "s0": small_tower, "hd": large_tower, "language": language,
            "train": single_step, "train8": batch_step}
