"""Builds the programs that `run.py` needs, and packs them for a machine without Rust or network.

    python3 xtask/gpu/bundle.py [--with-tests]      # writes target/gpu/bundle.tar.xz
    python3 xtask/gpu/run.py --bundle target/gpu/bundle.tar.xz

The machine needs this repository at the same commit, an x86-64 processor, and a glibc that is not older.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "gpu"
# The plugins of codecs_experiment.py and of xtask/check-cuda.
PLUGINS = "--all"
# Stands for the root in what cargo says of the workspace.
PLACE = "@ROOT@"


class Programs:
    """Paths of what was built; none for what a run does without."""

    def __init__(self, folder, commit):
        self.commit = commit
        self.strait, self.device, self.xtask = folder / "strait", folder / "device", folder / "xtask"
        self.tests = folder / "model-tests" if (folder / "model-tests").exists() else None
        self.metadata = folder / "metadata.json"

    def cargo(self):
        """Variables for xtask where there is no cargo: one that says what cargo said on the other machine."""
        if shutil.which("cargo"):
            return {}
        said = self.metadata.with_suffix(".here.json")
        said.write_text(self.metadata.read_text().replace(PLACE, str(ROOT)))
        program = self.metadata.with_name("cargo")
        program.write_text(f"#!/bin/sh\ncat '{said}'\n")
        program.chmod(0o755)
        return {"CARGO": str(program)}


def build(steps=(), tests=False):
    """Builds what the steps need, in the folder of the bundle."""
    folder = WORK / "programs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    copy(built("strait", "build"), folder / "strait")
    copy(built("device", "bench"), folder / "device")
    # A test of the library's crate builds the library with the features that everything else here has.
    copy(built("strait_burn", "test", "failures"), folder / "libstrait_burn.so")
    if "check" in steps or tests:
        copy(built("xtask", "build"), folder / "xtask")
    if tests:
        copy(built("model", "test"), folder / "model-tests")
    if "check" in steps or "codecs" in steps:
        run(["cargo", "xtask", "build-plugin", PLUGINS])
    metadata = run(["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"]).stdout
    (folder / "metadata.json").write_text(metadata.replace(str(ROOT), PLACE))
    return Programs(folder, commit())


def built(name, kind, target=None):
    """Builds a target, of the same name unless another is given, and gives the path of the program or library `name`."""
    target = target or name
    flags = {"build": ["build", "--release", "--bin", target], "test": ["test", "--release", "--no-run", "--test", target],
             "bench": ["bench", "--no-run", "--bench", target]}[kind]
    for line in run(["cargo", *flags, "--locked", "--workspace", "--message-format=json"]).stdout.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") != name:
            continue
        libraries = [file for file in message.get("filenames", []) if file.endswith(".so")]
        if message.get("executable") or libraries:
            return message.get("executable") or libraries[0]
    sys.exit(f"cargo built no {name}")


def run(command):
    outcome = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    if outcome.returncode:
        sys.exit(f"{' '.join(command)} failed; its messages are above")
    return outcome


def copy(source, target):
    """The program without the names that only a debugger reads: a third of it."""
    if subprocess.run(["strip", "-o", str(target), str(source)]).returncode:
        shutil.copy(source, target)


def commit():
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    outcome = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return outcome.stdout.strip() or None


def pack(programs, file):
    (programs.strait.parent / "commit").write_text(programs.commit or "")
    plugins = sorted((ROOT / "plugins").glob("*.so"))
    file.parent.mkdir(parents=True, exist_ok=True)
    # Programs share most of their code: a dictionary that reaches from one to the next finds it again.
    xz = ["xz", "--threads=1", "--x86", "--lzma2=preset=9e,dict=192MiB", "--stdout"]
    with open(file, "wb") as out:
        packer = subprocess.Popen(xz, stdin=subprocess.PIPE, stdout=out)
        with tarfile.open(fileobj=packer.stdin, mode="w|") as archive:
            for path in sorted(programs.strait.parent.iterdir()):
                archive.add(path, arcname=f"programs/{path.name}")
            for path in plugins:
                archive.add(path, arcname=f"plugins/{path.name}")
        packer.stdin.close()
        if packer.wait():
            sys.exit("xz failed")
    print(f"{file}: {file.stat().st_size / 2**20:.1f} MiB, with {len(plugins)} plugins")


def unpack(file):
    """Puts programs into target/gpu and plugins into plugins/."""
    WORK.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "r:xz") as archive:
        for member in archive:
            folder = {"programs": WORK, "plugins": ROOT}.get(Path(member.name).parts[0])
            if folder is None or ".." in Path(member.name).parts or not (member.isfile()):
                sys.exit(f"{file}: {member.name} does not belong into a bundle")
            target = folder / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.extractfile(member) as source, open(target, "wb") as out:
                shutil.copyfileobj(source, out)
            os.chmod(target, member.mode)
    folder = WORK / "programs"
    programs = Programs(folder, (folder / "commit").read_text().strip() or None)
    if commit() not in (None, programs.commit):
        print(f"warning: the bundle is of commit {programs.commit}, this repository at {commit()}", flush=True)
    return programs


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=WORK / "bundle.tar.xz")
    parser.add_argument("--with-tests", action="store_true", help="the model's tests too, for check-cuda")
    arguments = parser.parse_args()
    if platform.machine() != "x86_64":
        sys.exit("a bundle is built on x86-64")
    pack(build(["check", "codecs"], arguments.with_tests), arguments.output)


if __name__ == "__main__":
    main()
