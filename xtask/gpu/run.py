"""What a GPU does: correctness against the CPU, then speed against PyTorch. One command.

    python3 xtask/gpu/run.py

Needs Rust, an NVIDIA driver and Python 3.9. What else is missing comes from PyPI: NVRTC and CUDA's
headers where there is no CUDA toolkit, PyTorch and Transformers for the comparison. Everything that
is made goes into target/gpu, the figures into results/gpu/CARD.json and CARD.md.

Try the program without a GPU, on shapes that say nothing about speed:

    python3 xtask/gpu/run.py --device cpu:plain --shapes tiny --dtypes f32,bf16 --output target/gpu
"""

import argparse
import ctypes
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "gpu"
# What stands in for a CUDA toolkit. A driver of CUDA 12.8 or later runs what it compiles.
WHEELS = [
    "nvidia-cuda-nvrtc-cu12==12.8.93",
    "nvidia-cuda-runtime-cu12==12.8.90",
    "nvidia-cuda-nvcc-cu12==12.8.93",
    "nvidia-cuda-cccl-cu12==12.8.90",
]
# Largest relative difference of a perplexity to the CPU's.
TOLERANCES = {"f32": 1e-4, "f16": 3e-3, "bf16": 3e-3}


def main():
    arguments = parse()
    cuda = arguments.device.startswith("cuda")
    environment = dict(os.environ)
    if cuda:
        toolkit(environment, arguments.cuda)
    program = arguments.program or build("bench", "device")
    report = {"card": card(arguments.device), "device": arguments.device, "commit": commit()}
    print(f"# {report['card']}", flush=True)

    report["tests"] = tests(arguments, environment)
    report["agree"] = [agree(program, arguments.device, dtype, environment) for dtype in arguments.dtypes]
    report["speed"] = speed(arguments, program, environment)

    folder = Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", report["card"].lower()).strip("-")
    (folder / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n")
    text = table(report)
    (folder / f"{name}.md").write_text(text)
    print(text)
    print(folder / f"{name}.json")
    wrong = [line for line in report["agree"] if not line["agrees"]]
    if report["tests"]["failed"] or wrong:
        sys.exit("the device does not agree with the CPU: see above; its speed says nothing")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--shapes", default="1b,8b,32b", help="tiny, 1b, 8b, 32b, with commas")
    parser.add_argument("--dtypes", default="f32,bf16", help="types in which the device must agree")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--scored", type=int, default=512)
    parser.add_argument("--count", type=int, default=10, help="measured windows")
    parser.add_argument("--size", type=int, default=8192, help="rows of the matrices whose product is the peak")
    parser.add_argument("--output", default=ROOT / "results" / "gpu")
    parser.add_argument("--cuda", help="a CUDA toolkit (a folder with include and lib64)")
    parser.add_argument("--program", help="the benchmark `device`, built elsewhere")
    parser.add_argument("--tests", help="the model's tests, built elsewhere")
    parser.add_argument("--python", help="a Python with PyTorch and Transformers; else they are installed")
    parser.add_argument("--no-peer", action="store_true", help="leave PyTorch out")
    arguments = parser.parse_args()
    arguments.dtypes = arguments.dtypes.split(",")
    arguments.shapes = [shape for shape in arguments.shapes.split(",") if shape]
    return arguments


# Correctness


def tests(arguments, environment):
    """The model's tests, whose reference values are Transformers', on the device too."""
    program = arguments.tests or build("test", "model")
    environment = {
        **environment,
        "STRAIT_TEST_DEVICES": arguments.device,
        "CARGO_MANIFEST_DIR": str(ROOT / "crates" / "model"),
    }
    command = [program, "--test-threads", "1"]
    outcome = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    counts = re.search(r"(\d+) passed; (\d+) failed", outcome.stdout)
    if not counts:
        sys.exit(f"the tests did not run:\n{outcome.stdout}")
    passed, failed = map(int, counts.groups())
    if failed:
        print(outcome.stdout)
    print(f"tests: {passed} passed, {failed} failed", flush=True)
    return {"passed": passed, "failed": failed}


def agree(program, device, dtype, environment):
    line = call(program, ["agree", "--device", device, "--dtype", dtype, "--root", str(ROOT)], environment)
    line["tolerance"] = TOLERANCES[dtype]
    line["agrees"] = line["relative_difference"] < TOLERANCES[dtype]
    print(f"perplexity in {dtype}: {line['perplexity']:.5f}, on the CPU {line['perplexity_cpu']:.5f}", flush=True)
    return line


# Speed


def speed(arguments, program, environment):
    """For each program: the peak of products alone, then every shape."""
    common = ["--device", arguments.device, "--dtype", "bf16"]
    window = ["--tokens", str(arguments.tokens), "--scored", str(arguments.scored), "--count", str(arguments.count)]
    programs = {"strait": ([program], environment)}
    if not arguments.no_peer:
        programs["pytorch"] = ([peer_python(arguments), str(Path(__file__).with_name("peer.py"))], dict(os.environ))
    result = {}
    for name, (command, variables) in programs.items():
        product = call(command, ["product", *common, "--size", str(arguments.size)], variables)
        peak = product["flops"] / statistics.median(product["product_s"])
        print(f"{name}: {peak / 1e12:.1f} TFLOP/s in products of {arguments.size}", flush=True)
        result[name] = {"product": product, "peak_flops_per_s": peak, "windows": []}
    best = max(one["peak_flops_per_s"] for one in result.values())
    # Shapes outside, programs inside: what slows the card meanwhile slows both.
    for shape in arguments.shapes:
        for name, (command, variables) in programs.items():
            line = call(command, ["window", *common, *window, "--shape", shape], variables, fatal=False)
            if "window_s" in line:
                median = statistics.median(line["window_s"])
                line["median_s"] = median
                line["tokens_per_s"] = line["tokens"] / median
                line["share_of_peak"] = line["flops"] / median / best
                print(f"{name}: {shape} {line['tokens_per_s']:.0f} tokens/s, "
                      f"{100 * line['share_of_peak']:.1f} % of the peak", flush=True)
            result[name]["windows"].append(line)
    result["peak_flops_per_s"] = best
    return result


def table(report):
    speed, lines = report["speed"], [f"# {report['card']}", ""]
    lines += ["| | perplexity | on the CPU | difference | allowed |", "|:--|--:|--:|--:|--:|"]
    for line in report["agree"]:
        lines.append(f"| {line['dtype']} | {line['perplexity']:.5f} | {line['perplexity_cpu']:.5f} "
                     f"| {line['relative_difference']:.1e} | {line['tolerance']:.0e} |")
    tests = report["tests"]
    lines += ["", f"Tests with the device: {tests['passed']} passed, {tests['failed']} failed.", ""]
    programs = [name for name in ("strait", "pytorch") if name in speed]
    for name in programs:
        lines.append(f"Products alone, {name}: {speed[name]['peak_flops_per_s'] / 1e12:.1f} TFLOP/s.  ")
    lines += ["", "| shape | program | tokens/s | of the peak | moved per window | first window |", "|:--|:--|--:|--:|--:|--:|"]
    for name in programs:
        for line in speed[name]["windows"]:
            if "error" in line:
                lines.append(f"| {line['shape']} | {name} | failed | | | |")
                continue
            moved = f"{line['moved_bytes'] / 1e6:.1f} MB" if "moved_bytes" in line else ""
            lines.append(f"| {line['shape']} | {name} | {line['tokens_per_s']:.0f} | "
                         f"{100 * line['share_of_peak']:.1f} % | {moved} | {line['first_s']:.1f} s |")
    return "\n".join(lines) + "\n"


def call(program, arguments, environment, fatal=True):
    """Runs a job and reads the JSON line that it prints last."""
    command = ([program] if isinstance(program, (str, Path)) else program) + arguments
    outcome = subprocess.run(list(map(str, command)), env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lines = outcome.stdout.strip().splitlines()
    if outcome.returncode or not lines:
        reason = (outcome.stderr.strip().splitlines() or [f"ended with {outcome.returncode}"])[-1]
        if fatal:
            sys.exit(f"{' '.join(map(str, command))}\n{outcome.stderr}")
        print(f"{arguments[-1]}: failed: {reason}", flush=True)
        return {"shape": arguments[-1], "error": reason}
    return json.loads(lines[-1])


# What the machine has


def build(kind, name):
    """Builds a benchmark or test binary of strait-model and gives its path."""
    flag = {"bench": ["bench", "--bench", name], "test": ["test", "--release", "--test", name]}[kind]
    command = ["cargo", *flag, "--locked", "--package", "strait-model", "--no-run", "--message-format=json"]
    outcome = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    if outcome.returncode:
        sys.exit("cargo failed; its messages are above")
    for line in outcome.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == name:
            return message["executable"]
    sys.exit(f"cargo built no {name}")


def card(device):
    if not device.startswith("cuda"):
        return device
    index = device.partition(":")[2] or "0"
    query = ["nvidia-smi", f"--id={index}", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(query, text=True, stdout=subprocess.PIPE, check=True).stdout.strip()


def commit():
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    outcome = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return outcome.stdout.strip() or None


def toolkit(environment, given):
    """Sets CUDA_PATH and LD_LIBRARY_PATH to a toolkit that has NVRTC and headers."""
    candidates = [given, os.environ.get("CUDA_PATH"), "/usr/local/cuda", "/opt/cuda"]
    for path in map(Path, filter(None, candidates)):
        libraries = [folder for folder in (path / "lib64", path / "lib") if list(folder.glob("libnvrtc.so*"))]
        if (path / "include" / "cuda_runtime.h").exists() and (libraries or loads_nvrtc()):
            return use(environment, path, libraries)
    path = WORK / "cuda"
    if not (path / "include" / "cuda_runtime.h").exists():
        assemble(path)
    return use(environment, path, [path / "lib64"])


def use(environment, path, libraries):
    environment["CUDA_PATH"] = str(path)
    known = environment.get("LD_LIBRARY_PATH")
    environment["LD_LIBRARY_PATH"] = ":".join([*map(str, libraries), *([known] if known else [])])
    print(f"CUDA toolkit: {path}", flush=True)


def loads_nvrtc():
    for name in ("libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12"):
        try:
            ctypes.CDLL(name)
            return True
        except OSError:
            pass
    return False


def assemble(path):
    """Puts the parts of a toolkit that kernels are compiled with into one folder, from PyPI."""
    print("no CUDA toolkit found: fetching NVRTC and headers from PyPI (130 MB, once)", flush=True)
    wheels = WORK / "wheels"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), *WHEELS]
    subprocess.run(command, check=True)
    parts = WORK / "parts"
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(parts)
    nvidia = parts / "nvidia"
    making = path.with_suffix(".part")
    shutil.rmtree(making, ignore_errors=True)
    shutil.copytree(nvidia / "cuda_runtime" / "include", making / "include")
    shutil.copytree(nvidia / "cuda_nvcc" / "include" / "crt", making / "include" / "crt", dirs_exist_ok=True)
    shutil.copytree(nvidia / "cuda_cccl" / "include", making / "include" / "cccl")
    (making / "lib64").mkdir()
    for library in (nvidia / "cuda_nvrtc" / "lib").glob("*.so*"):
        if ".alt." not in library.name:
            shutil.copy(library, making / "lib64")
    making.rename(path)
    shutil.rmtree(parts)


def peer_python(arguments):
    if arguments.python:
        return arguments.python
    python = WORK / "python" / "bin" / "python"
    if not python.exists():
        print("installing PyTorch and Transformers into target/gpu/python (some GB, once)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(WORK / "python")], check=True)
        requirements = Path(__file__).with_name("requirements.txt")
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)], check=True)
    return str(python)


if __name__ == "__main__":
    main()
