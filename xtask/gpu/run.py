"""What a GPU does: agreement with the CPU, then speed against PyTorch. One command.

    python3 xtask/gpu/run.py                        # builds what it needs
    python3 xtask/gpu/bundle.py                     # or: builds here, for a machine without Rust or network,
    python3 xtask/gpu/run.py --bundle FILE          # and runs there what was built

Needs an NVIDIA driver and Python 3.9. `strait devices` says what else kernels need; PyTorch and
Transformers are taken from this Python, else installed into target/gpu. Steps, the most telling first:

    devices    what is there, and that a small kernel runs
    agree      perplexity of the embedded model in f32 and bf16, on the device and on the CPU
    check      cargo xtask check-cuda: experiments with cells, against the CPU
    speed      windows of 1B-, 8B- and 32B-shaped models in bf16, the last 512 positions scored or all,
               against PyTorch with sdpa, as a share of what products alone reach
    codecs     eight codecs on four links of a model of the first shape, and without them
    kernels    where the time of a window goes, kernel by kernel
    racecheck  compute-sanitizer on one small window

Every step's figures are written when it ends, so that a run that is stopped leaves those before. No
step takes longer than its share of --limit. Figures go to results/gpu/CARD.json and CARD.md.

Without a GPU, on shapes that say nothing about speed:

    python3 xtask/gpu/run.py --device cpu:plain --steps agree,speed --try --no-peer --output target/gpu
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import codecs_experiment
from bundle import ROOT, WORK, Programs, build, unpack

# Largest relative difference of a perplexity to the CPU's.
TOLERANCES = {"f32": 1e-4, "f16": 3e-3, "bf16": 3e-3}
# Seconds that a step may take at most, of a limit of 580.
SHARES = {
    "devices": 40, "agree": 60, "check": 150, "speed": 240, "codecs": 90, "kernels": 60, "racecheck": 90,
}


class Run:
    """The settings of a run, its programs, and what it found so far."""

    def __init__(self, arguments, programs):
        self.arguments, self.programs = arguments, programs
        self.begin = time.monotonic()
        self.environment = dict(os.environ)
        self.report = {"card": arguments.device, "device": arguments.device, "commit": programs.commit, "steps": {}}

    def left(self):
        return self.arguments.limit - (time.monotonic() - self.begin)

    def step(self, name, work):
        """Runs a step with its share of the time; what it gives, or how it failed, is written at once."""
        self.end = time.monotonic() + min(SHARES[name] * self.arguments.limit / 580, self.left())
        begin = time.monotonic()
        try:
            found = work(self)
        except Exception as failed:  # A step that fails is a finding; the others go on.
            found = {"error": f"{type(failed).__name__}: {failed}"}
            print(f"{name}: {found['error']}", flush=True)
        found["step_s"] = round(time.monotonic() - begin, 1)
        self.report["steps"][name] = found
        self.write()

    def write(self):
        folder = Path(self.arguments.output)
        folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^a-z0-9]+", "-", self.report["card"].lower()).strip("-")
        (folder / f"{name}.json").write_text(json.dumps(self.report, indent=2) + "\n")
        (folder / f"{name}.md").write_text(table(self.report))
        return folder / f"{name}.md"

    def call(self, command, environment=None, **options):
        """Runs a command in what is left of the step; the error is its last line."""
        command = [str(word) for word in command]
        left = self.end - time.monotonic()
        if left < 1:
            raise TimeoutError("no time left")
        outcome = subprocess.run(command, env=environment or self.environment, text=True, timeout=left,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        if outcome.returncode:
            raise RuntimeError(f"{Path(command[0]).name} ended with {outcome.returncode}: {last_words(outcome)}")
        return outcome

    def job(self, command, environment=None):
        """Runs a job of the benchmark or of its peer and reads the JSON line that it prints last."""
        return json.loads(self.call(command, environment).stdout.strip().splitlines()[-1])


def last_words(outcome):
    text = (outcome.stderr or outcome.stdout).strip()
    return "\n".join(text.splitlines()[-6:])[-800:] or "it said nothing"


def main():
    arguments = parse()
    programs = unpack(arguments.bundle) if arguments.bundle else build(arguments.steps)
    run = Run(arguments, programs)
    steps = {"devices": devices, "agree": agree, "check": check, "speed": speed, "codecs": codecs,
             "kernels": kernels, "racecheck": racecheck}
    for name, work in steps.items():
        if name in arguments.steps:
            run.step(name, work)
            if name == "devices" and "error" in run.report["steps"][name]:
                sys.exit("without the device there is nothing to measure")
    print(table(run.report))
    print(run.write())
    found = run.report["steps"]
    wrong = [line for line in found.get("agree", {}).get("lines", []) if not line["agrees"]]
    if wrong or found.get("check", {}).get("agrees") is False:
        sys.exit("the device does not agree with the CPU: see above; its speed says nothing")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--bundle", help="what xtask/gpu/bundle.py packed; nothing is built then")
    parser.add_argument("--steps", default=",".join(SHARES), help="with commas")
    parser.add_argument("--limit", type=float, default=580, help="seconds for everything")
    parser.add_argument("--shapes", default="1b,8b,32b", help="tiny, 1b, 8b, 32b, with commas")
    parser.add_argument("--dtypes", default="f32,bf16", help="types in which the device must agree")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--scored", type=int, default=512)
    parser.add_argument("--count", type=int, default=5, help="measured windows")
    parser.add_argument("--size", type=int, default=8192, help="rows of the matrices whose product is the peak")
    parser.add_argument("--output", default=ROOT / "results" / "gpu")
    parser.add_argument("--python", help="a Python with PyTorch and Transformers; else this one, or they are installed")
    parser.add_argument("--no-peer", action="store_true", help="leave PyTorch out")
    parser.add_argument("--try", dest="trial", action="store_true", help="tiny shapes and few windows")
    arguments = parser.parse_args()
    if arguments.trial:
        arguments.shapes, arguments.tokens, arguments.scored = "tiny", 64, 16
        arguments.count, arguments.size = 2, 128
    arguments.steps = [name for name in arguments.steps.split(",") if name]
    unknown = set(arguments.steps) - set(SHARES)
    if unknown:
        parser.error(f"--steps: expected some of {', '.join(SHARES)}, found {', '.join(sorted(unknown))}")
    arguments.dtypes = arguments.dtypes.split(",")
    arguments.shapes = [shape for shape in arguments.shapes.split(",") if shape]
    return arguments


# Agreement


def devices(run):
    """What strait sees, and whether a small kernel runs."""
    found = json.loads(run.call([run.programs.strait, "devices", "--json"]).stdout)
    device = next((line for line in found["devices"] if line["device"] == run.arguments.device), None)
    if device is None:
        raise RuntimeError(f"{run.arguments.device} is not here: {json.dumps(found['nvidia'])}")
    if not device["usable"]:
        raise RuntimeError(f"{device['reason']}; {device['remedy'] or ''}")
    if run.arguments.device.startswith("cuda"):
        run.report["card"] = device["name"]
        # Tests run on threads, where a program cannot tell burn's backend itself.
        if found["nvidia"].get("headers"):
            run.environment["CUDA_PATH"] = str(Path(found["nvidia"]["headers"]).parent)
    print(f"# {run.report['card']}", flush=True)
    return found


def agree(run):
    lines = []
    for dtype in run.arguments.dtypes:
        line = run.job([run.programs.device, "agree", "--device", run.arguments.device, "--dtype", dtype, "--root", ROOT])
        line["tolerance"] = TOLERANCES[dtype]
        line["agrees"] = line["relative_difference"] < TOLERANCES[dtype]
        print(f"perplexity in {dtype}: {line['perplexity']:.5f}, on the CPU {line['perplexity_cpu']:.5f}", flush=True)
        lines.append(line)
    return {"lines": lines}


def check(run):
    """`cargo xtask check-cuda` with what was built before."""
    folder = WORK / "check-cuda"
    command = [run.programs.xtask, "check-cuda", "--program", run.programs.strait, "--output", folder]
    if run.programs.tests:
        command += ["--tests", run.programs.tests]
    environment = {**run.environment, **run.programs.cargo()}
    try:
        text, agrees = run.call(command, environment, cwd=ROOT).stdout, True
    except RuntimeError as failed:
        text, agrees = str(failed), False
    print(text[-3000:], flush=True)
    report = folder / "table.json"
    return {"agrees": agrees, "report": json.loads(report.read_text()) if report.exists() else text}


# Speed


def speed(run):
    """The peak of products alone, then every shape; for each program in turn."""
    arguments = run.arguments
    common = ["--device", arguments.device, "--dtype", "bf16"]
    programs = {"strait": ([run.programs.device], run.environment)}
    if not arguments.no_peer:
        programs["pytorch"] = ([peer_python(arguments), Path(__file__).with_name("peer.py")], dict(os.environ))
    result = {}
    for name, (command, variables) in programs.items():
        product = run.job([*command, "product", *common, "--size", arguments.size], variables)
        peak = product["flops"] / statistics.median(product["product_s"])
        print(f"{name}: {peak / 1e12:.1f} TFLOP/s in products of {arguments.size}", flush=True)
        result[name] = {"product": product, "peak_flops_per_s": peak, "windows": []}
    best = max(one["peak_flops_per_s"] for one in result.values())
    # Shapes outside, programs inside: what slows the card meanwhile slows both.
    for shape in arguments.shapes:
        for scored in [arguments.scored, arguments.tokens - 1]:
            window = ["--tokens", arguments.tokens, "--scored", scored, "--count", arguments.count, "--shape", shape]
            for name, (command, variables) in programs.items():
                try:
                    line = timed(run.job([*command, "window", *common, *window], variables), best)
                    print(f"{name}: {shape}, {scored} scored: {line['tokens_per_s']:.0f} tokens/s, "
                          f"{100 * line['share_of_peak']:.1f} % of the peak", flush=True)
                except Exception as failed:  # One shape too many leaves the others.
                    line = {"shape": shape, "scored": scored, "error": str(failed)}
                    print(f"{name}: {shape}, {scored} scored: {failed}", flush=True)
                result[name]["windows"].append(line)
    result["peak_flops_per_s"] = best
    return result


def timed(line, best):
    line["median_s"] = statistics.median(line["window_s"])
    line["tokens_per_s"] = line["tokens"] / line["median_s"]
    line["share_of_peak"] = line["flops"] / line["median_s"] / best
    return line


def codecs(run):
    """Windows through four links with eight codecs, and the baseline alone."""
    small = ROOT / "assets" / "models" / "wiki-4m"
    if run.arguments.no_peer:
        return codecs_experiment.measure(run, small)
    shape = run.arguments.shapes[0]
    model = WORK / f"model-{shape}"
    if not (model / "config.json").exists():
        run.job([peer_python(run.arguments), Path(__file__).with_name("peer.py"), "checkpoint", "--device",
                 run.arguments.device, "--shape", shape, "--output", model], dict(os.environ))
    shutil.copy(small / "tokenizer.json", model)
    return codecs_experiment.measure(run, model)


def kernels(run):
    """Seconds of each kernel of a window, as CubeCL's own profile counts them."""
    folder = WORK / "profile"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "profile.txt"
    log.unlink(missing_ok=True)
    # CubeCL reads this in the folder that a program runs in.
    (folder / "cubecl.toml").write_text(f'[profiling]\nlogger = {{ level = "basic", file = "{log}" }}\n')
    arguments = run.arguments
    run.call([run.programs.device, "window", "--device", arguments.device, "--dtype", "bf16", "--shape",
              arguments.shapes[0], "--tokens", arguments.tokens, "--scored", arguments.scored, "--count", 1], cwd=folder)
    choices = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "strait" / "kernels"
    tuned = {str(path.relative_to(choices)): path.read_text()[:20_000]
             for path in choices.rglob("*.json*") if path.is_file()}
    return {"profile": log.read_text()[-20_000:] if log.exists() else "none was written", "tuned": tuned}


def racecheck(run):
    """compute-sanitizer on one small window: races, then wrong addresses."""
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        installed = sorted(Path("/usr/local").glob("cuda*/bin/compute-sanitizer"))
        sanitizer = installed[-1] if installed else None
    if sanitizer is None:
        raise FileNotFoundError("compute-sanitizer is not here; it comes with a CUDA toolkit")
    window = [run.programs.device, "window", "--device", run.arguments.device, "--dtype", "bf16", "--shape", "tiny",
              "--tokens", 64, "--scored", 16, "--count", 1]
    result = {}
    for tool in ["racecheck", "memcheck"]:
        command = [str(word) for word in [sanitizer, "--tool", tool, "--error-exitcode", 9, *window]]
        outcome = subprocess.run(command, env=run.environment, text=True, timeout=max(1, run.end - time.monotonic()),
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        result[tool] = {"exit": outcome.returncode, "said": outcome.stdout[-4000:]}
        print(f"{tool}: {outcome.stdout.strip().splitlines()[-1:]}", flush=True)
    return result


# For people


def table(report):
    steps, lines = report["steps"], [f"# {report['card']}", ""]
    if report["commit"]:
        lines += [f"Commit {report['commit']}.", ""]
    agreement = steps.get("agree", {}).get("lines", [])
    if agreement:
        lines += ["| | perplexity | on the CPU | difference | allowed |", "|:--|--:|--:|--:|--:|"]
        lines += [f"| {line['dtype']} | {line['perplexity']:.5f} | {line['perplexity_cpu']:.5f} "
                  f"| {line['relative_difference']:.1e} | {line['tolerance']:.0e} |" for line in agreement]
        lines.append("")
    if "agrees" in steps.get("check", {}):
        lines += [f"check-cuda: {'all rows agree' if steps['check']['agrees'] else 'rows differ'}.", ""]
    lines += speed_table(steps.get("speed", {})) + codecs_experiment.table(steps.get("codecs", {}))
    if "racecheck" in steps.get("racecheck", {}):
        told = {tool: steps["racecheck"][tool]["exit"] for tool in ("racecheck", "memcheck") if tool in steps["racecheck"]}
        lines += ["compute-sanitizer: " + ", ".join(f"{tool} {'found nothing' if code == 0 else f'ended with {code}'}"
                                                    for tool, code in told.items()) + ".", ""]
    lines += [f"{name}: {found['error']}  " for name, found in steps.items() if "error" in found]
    return "\n".join(lines).rstrip() + "\n"


def speed_table(speed):
    programs = [name for name in ("strait", "pytorch") if name in speed]
    if not programs:
        return []
    lines = [f"Products alone, {name}: {speed[name]['peak_flops_per_s'] / 1e12:.1f} TFLOP/s.  " for name in programs]
    lines += ["", "| shape | scored | program | tokens/s | of the peak | first window |", "|:--|--:|:--|--:|--:|--:|"]
    for name in programs:
        for line in speed[name]["windows"]:
            if "error" in line:
                lines.append(f"| {line['shape']} | {line['scored']} | {name} | failed | | |")
                continue
            lines.append(f"| {line['shape']} | {line['scored']} | {name} | {line['tokens_per_s']:.0f} | "
                         f"{100 * line['share_of_peak']:.1f} % | {line['first_s']:.1f} s |")
    return [*lines, ""]


def peer_python(arguments):
    """A Python with PyTorch and Transformers."""
    if arguments.python:
        return arguments.python
    known = subprocess.run([sys.executable, "-c", "import torch, transformers"], stderr=subprocess.DEVNULL)
    if known.returncode == 0:
        return sys.executable
    python = WORK / "python" / "bin" / "python"
    if not python.exists():
        print("installing PyTorch and Transformers into target/gpu/python (some GB, once)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(WORK / "python")], check=True)
        requirements = Path(__file__).with_name("requirements.txt")
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)], check=True)
    return str(python)


if __name__ == "__main__":
    main()
