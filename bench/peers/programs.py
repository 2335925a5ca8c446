# SPDX-License-Identifier: Apache-2.0
"""The commands of all programs that compete, and how their output is read."""
import dataclasses
import json
import statistics
import subprocess
from pathlib import Path

import numpy as np

from turns import Contestant

HERE = Path(__file__).resolve().parent
TRAINING_BASES = {"4 bits": 4, "bf16": 16}


@dataclasses.dataclass
class Setting:
    build: Path              # folder of fastvlm and detect_bench
    work: Path
    modules: Path            # node_modules
    versions: dict           # {"fastvlm", "onnxruntime", "llama", "torch"}: name and version
    detector: Path = None    # weights of YOLO11n
    goldens: Path = None     # an input of the detector and what it makes of it
    ik: Path = None          # llama-bench of ik_llama.cpp


def milliseconds(seconds):
    return statistics.median(seconds) * 1e3


def reader(tests):
    """tests: {name: key}. -> reads a JSON object that holds a list of seconds under each key."""
    def read(output):
        values = json.loads(output)
        return {name: milliseconds(values[key]) for name, key in tests.items()}
    return read


def bench(setting, checkpoint, arithmetic, threads, repetitions, *options):
    """fastvlm bench, which names its tests itself."""
    def read(output):
        return {row["test"]: row["ms"] for row in json.loads(output)["rows"]}

    command = [setting.build / "fastvlm", "bench", "--json", "--model", checkpoint, "--precision", arithmetic,
               "--threads", str(threads), "-r", str(repetitions), *options]
    return Contestant(setting.versions["fastvlm"], arithmetic, threads, command, read)


def detect_bench(setting, picture, arithmetic, threads, repetitions, test):
    def read(output):
        return {test: float(output.split("network alone: median ")[1].split(" ms")[0])}

    command = [setting.build / "detect_bench", setting.detector, picture, str(threads), str(repetitions), arithmetic]
    return Contestant(setting.versions["fastvlm"], arithmetic, threads, command, read)


def train_bench(setting, base, arithmetic, every, batch, length, supervised, threads, steps, test):
    """every: train's --gradient-checkpointing."""
    folder = checkpoint(setting, "s0-0.5b", TRAINING_BASES[base])
    command = [setting.build / "train_bench", folder, arithmetic, *map(str, (batch, length, supervised, every, threads, steps))]
    return Contestant(setting.versions["fastvlm"], training_form(arithmetic, base, every), threads, command, reader({test: "step"}))


def training_form(arithmetic, base, every):
    return f"{arithmetic}, base {base}" + (", all activations kept" if every == 0 else "")


def lora_torch(setting, arithmetic, batch, length, supervised, threads, steps, test, **more):
    options = json.dumps({"batch": batch, "length": length, "supervised": supervised, "threads": threads, "steps": steps,
                          "arithmetic": arithmetic, **more})
    command = ["/usr/bin/python3", HERE / "lora_torch.py", options]
    return Contestant(setting.versions["torch"], arithmetic, threads, command, reader({test: "step"}))


def checkpoint(setting, kind, bits=4):
    """Made-up weights of real shapes."""
    folder = setting.work / (kind if bits == 4 else f"{kind}-{bits}bit")
    if not (folder / "config.json").exists():
        command = [setting.build / "fastvlm", "dev", "make-checkpoint", "--kind", kind, "--bits", str(bits), "--out", folder]
        subprocess.run(command, check=True, stdout=2)
    return folder


def onnx_command(setting, model, shape, threads, repetitions, **files):
    options = {"model": str(model), "shape": shape, "threads": threads, "repetitions": repetitions}
    options.update((key, str(path)) for key, path in files.items())
    return ["node", HERE / "onnx_turn.mjs", setting.modules, json.dumps(options)]


def onnx_runtime(setting, model, shape, arithmetic, threads, repetitions, test):
    command = onnx_command(setting, model, shape, threads, repetitions)
    return Contestant(setting.versions["onnxruntime"], arithmetic, threads, command, reader({test: "seconds"}))


def onnx_outputs(setting, model, pixels):
    """pixels: [1, 3, h, w]. -> all outputs in a row."""
    given, made = setting.work / "input.f32", setting.work / "output.f32"
    np.ascontiguousarray(pixels, np.float32).tofile(given)
    command = onnx_command(setting, model, list(pixels.shape), 1, 1, input=given, output=made)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return np.fromfile(made, np.float32)


def language_options(prompt, answer, threads, repetitions, **more):
    return json.dumps({"prompt": prompt, "answer": answer, "threads": threads, "repetitions": repetitions, **more})


def llama(setting, model, prompt, answer, threads, repetitions):
    options = language_options(prompt, answer, threads, repetitions, model=str(model))
    command = ["node", HERE / "llama_turn.mjs", setting.modules, options]
    return Contestant(setting.versions["llama"], "Q4_0", threads, command, reader(language_tests(prompt, answer)))


def torch(setting, arithmetic, prompt, answer, threads, repetitions):
    options = language_options(prompt, answer, threads, repetitions, arithmetic=arithmetic)
    command = ["/usr/bin/python3", HERE / "qwen2_torch.py", options]
    return Contestant(setting.versions["torch"], arithmetic, threads, command, reader(language_tests(prompt, answer)))


def language_tests(prompt, answer):
    return {f"prompt {prompt}": "prompt", f"answer {answer}": "answer"}


def ik_llama(setting, model, prompt, answer, threads, repetitions):
    """Its llama-bench, whose answer begins without a prompt."""
    def read(output):
        times = {(row["n_prompt"], row["n_gen"]): row["avg_ns"] * 1e-6 for row in json.loads(output)}
        return {f"prompt {prompt}": times[prompt, 0], f"answer {answer}": times[0, answer]}

    command = [setting.ik, "-m", model, "-p", str(prompt), "-n", str(answer), "-t", str(threads),
               "-r", str(repetitions), "-o", "json"]
    return Contestant("ik_llama.cpp", "Q4_0", threads, command, read)
