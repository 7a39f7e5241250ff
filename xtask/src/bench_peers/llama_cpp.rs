//! llama.cpp's perplexity tool: built from the source in the PyPI package llama-cpp-python, and run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::job::WINDOW;
use super::outcome::{BASELINE, Score, Sitting};
use super::python::{environment, install, succeed};

/// The tool's name in the figures.
pub(super) const NAME: &str = "llama.cpp's llama-perplexity";

/// The package whose source distribution contains llama.cpp.
const PACKAGE: &str = "llama-cpp-python";
const VERSION: &str = "0.3.36";
const BUILD_TOOLS: [&str; 2] = ["cmake==4.4.4", "ninja==1.13.2"];

/// Parts of llama.cpp that the tool does not need.
const LEFT_OUT: [&str; 5] = [
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_SERVER=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_OPENSSL=OFF",
];

/// Builds the tool in `folder`, unless it exists there.
pub(super) fn build(folder: &Path) -> Result<PathBuf> {
    let tool = folder.join("build/bin/llama-perplexity");
    if tool.is_file() {
        return Ok(tool);
    }
    eprintln!("building llama.cpp in {} (minutes, once)", folder.display());
    let python = environment(&folder.join("venv"))?;
    install(&python, &BUILD_TOOLS.map(AsRef::as_ref))?;
    let release = format!("{PACKAGE}=={VERSION}");
    let mut download = Command::new(&python);
    download.args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", PACKAGE]);
    succeed(download.arg("--dest").arg(folder).arg(release))?;
    let name = format!("llama_cpp_python-{VERSION}");
    let mut unpack = Command::new(&python);
    unpack.args(["-m", "tarfile", "--extract"]).arg(folder.join(format!("{name}.tar.gz")));
    succeed(unpack.arg(folder))?;

    let tools = folder.join("venv/bin");
    let source = folder.join(name).join("vendor/llama.cpp");
    let mut configure = Command::new(tools.join("cmake"));
    configure.args(["-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"]).args(LEFT_OUT);
    configure.arg(format!("-DCMAKE_MAKE_PROGRAM={}", tools.join("ninja").display()));
    succeed(configure.arg("-S").arg(source).arg("-B").arg(folder.join("build")))?;
    let mut make = Command::new(tools.join("cmake"));
    succeed(make.arg("--build").arg(folder.join("build")).args(["--target", "llama-perplexity"]))?;
    ensure!(tool.is_file(), "expected {} to be built", tool.display());
    Ok(tool)
}

/// The tool with its arguments.
#[derive(Debug)]
pub(super) struct Tool {
    program: PathBuf,
    arguments: Vec<String>,
    windows: u32,
    /// Whether weights are used in the layout of the file.
    plain_weights: bool,
}

impl Tool {
    pub(super) fn new(
        program: &Path,
        model: &Path,
        text: &Path,
        windows: u32,
        threads: Option<u32>,
    ) -> Self {
        let mut arguments = vec![
            "--model".to_owned(),
            model.display().to_string(),
            "--file".to_owned(),
            text.display().to_string(),
        ];
        let values = [("--ctx-size", WINDOW), ("--chunks", windows)];
        let threads = threads.map(|threads| ("--threads", threads));
        for (name, value) in values.into_iter().chain(threads) {
            arguments.extend([name.to_owned(), value.to_string()]);
        }
        for name in ["--cache-type-k", "--cache-type-v"] {
            arguments.extend([name.to_owned(), "f32".to_owned()]);
        }
        Self { program: program.to_owned(), arguments, windows, plain_weights: false }
    }

    /// Evaluates the text once.
    ///
    /// On CPUs with AMX this release's kernel for Q4_1 crashes, so a first run that fails is
    /// repeated with the weights in the layout of the file, which uses another kernel.
    pub(super) fn run(&mut self) -> Result<Sitting> {
        match self.evaluate() {
            Err(_) if !self.plain_weights => {
                self.plain_weights = true;
                self.evaluate()
            }
            result => result,
        }
    }

    /// A remark for readers of the figures.
    pub(super) fn note(&self) -> String {
        let repacked = if self.plain_weights {
            ", run with --no-repack because it crashes without"
        } else {
            ""
        };
        format!(
            "llama.cpp ({PACKAGE} {VERSION}{repacked}) multiplies 4-bit weights with 8-bit \
             activations and keeps keys and values in f32; strait computes in f32 throughout. Both \
             evaluate {} windows of {WINDOW} tokens, the second half of each scored; llama.cpp's \
             time is from its first window to its last, by its own clock",
            self.windows
        )
    }

    fn evaluate(&self) -> Result<Sitting> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        if self.plain_weights {
            command.arg("--no-repack");
        }
        let output =
            command.output().with_context(|| format!("starting {}", self.program.display()))?;
        // Releases differ in the stream that they write to.
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            bail!("llama-perplexity failed with {}:\n{}", output.status, text.trim_end());
        }
        let (seconds, perplexity) = parse(&text)?;
        // All targets after the middle of each window, as under the preset `llamacpp`.
        let scored = u64::from(self.windows * (WINDOW - WINDOW / 2 - 1));
        let nll = perplexity.ln() * scored as f64;
        let scores = vec![Score { label: BASELINE.to_owned(), nll, scored }];
        Ok(Sitting { seconds, scores })
    }
}

/// Seconds between the tool's two messages around the evaluation, and the perplexity.
///
/// A line begins with the time since the start, `minutes.seconds.milliseconds.microseconds`.
fn parse(text: &str) -> Result<(f64, f64)> {
    let line = |words: &str| {
        let found = text.lines().find(|line| line.contains(words));
        found.with_context(|| format!("expected a line with {words:?} in:\n{}", text.trim_end()))
    };
    let begin = line("calculating perplexity over")?;
    let end = line("Final estimate: PPL = ")?;
    let words = end.split("PPL = ").nth(1).and_then(|rest| rest.split(' ').next());
    let perplexity = words.and_then(|word| word.parse().ok());
    let perplexity = perplexity.with_context(|| format!("expected a perplexity, found {end:?}"))?;
    Ok((stamp(end)? - stamp(begin)?, perplexity))
}

fn stamp(line: &str) -> Result<f64> {
    let time = line.split(' ').next().unwrap_or_default();
    let parts: Option<Vec<u32>> = time.split('.').map(|part| part.parse().ok()).collect();
    match parts.as_deref() {
        Some(&[minutes, seconds, milliseconds, microseconds]) => Ok(f64::from(minutes) * 60.0
            + f64::from(seconds)
            + f64::from(milliseconds) * 1e-3
            + f64::from(microseconds) * 1e-6),
        _ => bail!("expected a line that begins with m.s.ms.us, found {line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
0.00.414.608 I perplexity: tokenization took 23.942 ms
0.00.414.688 I perplexity: calculating perplexity over 2 chunks, n_ctx=2048, batch_size=2048
0.18.002.920 I perplexity: 17.34 seconds per pass - ETA 0.57 minutes
[1]16.3477,[2]19.2759,
1.11.495.571 I Final estimate: PPL = 19.2759 +/- 1.25064
";

    #[test]
    fn time_and_perplexity_are_read_from_the_messages() {
        let (seconds, perplexity) = parse(OUTPUT).unwrap();
        assert!((seconds - 71.080_883).abs() < 1e-9, "{seconds}");
        assert_eq!(perplexity, 19.2759);
    }

    #[test]
    fn other_messages_are_quoted() {
        let error = parse("you need at least 4096 tokens\n").unwrap_err().to_string();
        assert!(error.contains("calculating perplexity") && error.ends_with("4096 tokens"));
        let error = stamp("I perplexity: done").unwrap_err().to_string();
        assert!(error.contains("m.s.ms.us"), "{error}");
    }
}
