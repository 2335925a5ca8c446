# SPDX-License-Identifier: Apache-2.0
"""What the comparison needs beside this repository: Debian packages, and two npm packages in the work folder."""
import json
import os
import platform
import subprocess

DEBIAN = ["python3-numpy", "python3-onnx", "python3-torch", "libopenblas0-openmp", "nodejs", "npm"]
ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}
ONNX_RUNTIME, LLAMA = "1.30.0", "3.22.1"


def debian_packages():
    missing = [name for name in DEBIAN if not _installed(name)]
    if missing:
        as_root = [] if os.geteuid() == 0 else ["sudo"]
        _run([*as_root, "apt-get", "install", "-y", "--no-install-recommends", *missing])


def npm_packages(work):
    """-> folder of modules. Install scripts do not run: both packages bring their binaries along."""
    folder = work / "node"
    modules = folder / "node_modules"
    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    binaries = f"@node-llama-cpp/linux-{architecture}"
    if not (modules / "onnxruntime-node").is_dir() or not (modules / binaries).is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}\n')
        _run(["npm", "install", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund",
              f"onnxruntime-node@{ONNX_RUNTIME}", f"node-llama-cpp@{LLAMA}", f"{binaries}@{LLAMA}"], cwd=folder)
    return modules


def llama_release(modules):
    """Which llama.cpp node-llama-cpp was built from."""
    return json.loads((modules / "node-llama-cpp/llama/llama.cpp.info.json").read_text())["tag"]


def _installed(name):
    if name in ("nodejs", "npm"):  # may come from elsewhere
        return subprocess.run(["which", name.replace("nodejs", "node")], capture_output=True).returncode == 0
    status = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", name], capture_output=True, text=True)
    return status.stdout.endswith(" installed")


def _run(command, **options):
    subprocess.run(command, check=True, stdout=2, **options)  # stdout is for the tables
