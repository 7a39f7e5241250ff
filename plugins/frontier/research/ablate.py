"""What each part of the codec gains: bits a value at an equal squared error, one part changed at a time.

    python ablate.py DUMPS [NAME...]        Python 3.11, no packages; cargo as the repository wants it

DUMPS is a folder of test{0..3}.f32 and calib{0..3}.f32 from dump.py. The repository is copied to a temporary
folder, a variant is a replacement of text in plugins/frontier/src there, and the example `rate` is built and run on
the fourth window, with nothing but the plugin and the SDK below it.
"""
import os, pathlib, shutil, subprocess, sys, tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
BITS = [1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.75, 4.0, 4.25, 4.5, 5.0]
AT = [1.75, 4.25]
SCALAR = [("trellis.rs", "State(NEXT[usize::from(self.0 & 3)][(index & 1) as usize])", "let _ = (NEXT, index); State(0)"),
          ("trellis.rs", "        let mut costs = [0.0, f32::MAX, f32::MAX, f32::MAX];", """        for ((choice, value), index) in self.choices.iter().zip(values).zip(&mut *indices) {
            let odd = usize::from(choice.costs[1] < choice.costs[0]);
            let magnitude = choice.indices[odd];
            *index = if *value < 0.0 { -magnitude } else { magnitude };
        }
        if indices.len() < usize::MAX { return; }
        let mut costs = [0.0, f32::MAX, f32::MAX, f32::MAX];""")]
MANIFEST = """[package]
name = "rate"
version = "0.1.0"
edition = "2024"
[dependencies]
strait-frontier = { path = "../strait/plugins/frontier" }
strait-sdk = { path = "../strait/crates/sdk" }
[workspace]
"""
PRICE = "const PRICE: f32 = 0.06;"
STILL = ("stream.rs", "self.mean += (ratio - self.mean) / self.reach;", "let _ = ratio;")
# name: (arguments of the example, replacements)
VARIANTS = {
    "as it is": ([], []),
    "no earlier rows": (["--history", "0"], []),
    "256 earlier rows": (["--history", "256"], []),
    "1024 earlier rows": (["--history", "1024"], []),
    "one reference": ([], [("search.rs", "REFERENCES: usize = 2;", "REFERENCES: usize = 1;")]),
    "three references": ([], [("search.rs", "REFERENCES: usize = 2;", "REFERENCES: usize = 3;")]),
    "references weigh 1 in every channel": ([], [("stream.rs", "weight.clamp(0.0, 1.25) * reference", "reference + 0.0 * weight")]),
    "64 candidates of the sketch": ([], [("search.rs", "CANDIDATES: usize = 8;", "CANDIDATES: usize = 64;")]),
    "one scalar quantizer, rounded": ([], SCALAR + [("trellis.rs", PRICE, "const PRICE: f32 = 0.0;")]),
    "one scalar quantizer, price 0.06": ([], SCALAR),
    "one scalar quantizer, price 0.12": ([], SCALAR + [("trellis.rs", PRICE, "const PRICE: f32 = 0.12;")]),
    "trellis without a price": ([], [("trellis.rs", PRICE, "const PRICE: f32 = 0.0;")]),
    "trellis, price 0.10": ([], [("trellis.rs", PRICE, "const PRICE: f32 = 0.1;")]),
    "no activity": ([], [STILL]),
    "no magnitude of channels": ([], [("stream.rs", "*scale += (coded.abs() - *scale) * scale_rate;", "*scale += 0.0 * (coded.abs() - *scale) * scale_rate;")]),
    "neither": ([], [STILL, ("stream.rs", "*scale += (coded.abs() - *scale) * scale_rate;", "*scale += 0.0 * (coded.abs() - *scale) * scale_rate;")]),
    "activity learns at one speed": ([], [("stream.rs", "const START: f32 = 4.0;", "const START: f32 = 64.0;")]),
    "one token a message": (["--chunk", "1"], []),
    "fitted": (["--calibrate"], []),
    "fitted, no earlier rows": (["--calibrate", "--history", "0"], []),
}


def at(curve, noise):
    """Bits a value at a ratio in decibels, between two points of (bits, decibels)."""
    for (r0, n0), (r1, n1) in zip(curve, curve[1:]):
        if n0 <= noise <= n1:
            return r0 + (r1 - r0) * (noise - n0) / (n1 - n0)
    return float("nan")


def main():
    dumps = pathlib.Path(sys.argv[1]).resolve()
    names = sys.argv[2:] or list(VARIANTS)
    copy = pathlib.Path(tempfile.mkdtemp(prefix="frontier-")) / "strait"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("target", ".git", "models", "assets", "*.so"))
    alone = copy.parent / "rate"
    (alone / "src").mkdir(parents=True)
    shutil.copy(copy / "plugins/frontier/examples/rate.rs", alone / "src/main.rs")
    shutil.copy(ROOT / "Cargo.lock", alone)
    (alone / "Cargo.toml").write_text(MANIFEST)
    source = copy / "plugins/frontier/src"
    kept = {path.name: path.read_text() for path in source.iterdir()}
    want = None
    print(f"{'':38}" + "".join(f"  at bits = {bits}" for bits in AT), flush=True)
    for name in ["as it is"] + [name for name in names if name != "as it is"]:
        args, changes = VARIANTS[name]
        texts = dict(kept)
        for file, old, new in changes:
            assert texts[file].count(old) == 1, (name, file, old)
            texts[file] = texts[file].replace(old, new)
        for file, text in texts.items():
            if (source / file).read_text() != text:
                (source / file).write_text(text)
        command = ["cargo", "run", "--release", "-q", "--", "--skip", str(3 * 2048)]
        files = [str(dumps / f"{kind}{i}.f32") for i in range(4) for kind in (["test", "calib"] if "--calibrate" in args else ["test"])]
        lines = subprocess.run(command + args + ["576", "2048", ",".join(map(str, BITS))] + files, cwd=alone, check=True,
                               stdout=subprocess.PIPE, text=True, env={**os.environ, "RUSTFLAGS": "--cap-lints allow"}).stdout
        curve = [tuple(map(float, line.split()[1:])) for line in lines.splitlines()]
        if want is None:
            want = [curve[BITS.index(bits)][1] for bits in AT]
            first = [at(curve, noise) for noise in want]
        found = [at(curve, noise) for noise in want]
        print(f"{name:38}" + "".join(f"  {f:6.3f} {f - g:+.3f}" for f, g in zip(found, first)), flush=True)
    shutil.rmtree(copy.parent)


main()
