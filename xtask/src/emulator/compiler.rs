//! Finds a C++ compiler that can build the emulator.

use std::fmt;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// A compiler that was tried and works.
#[derive(Debug)]
pub(super) struct Compiler {
    /// The program, and its own options (`CXX="ccache g++"`).
    words: Vec<String>,
    /// The first line of its version message.
    version: String,
}

/// In kernels, the address sanitizer calls a function before every access and ignores stack and
/// globals.
const GCC_MEMCHECK: &[&str] = &[
    "-fsanitize=kernel-address",
    "--param=asan-stack=0",
    "--param=asan-globals=0",
    "--param=asan-instrumentation-with-call-threshold=0",
];
const CLANG_MEMCHECK: &[&str] = &[
    "-fsanitize=kernel-address",
    "-mllvm",
    "-asan-stack=0",
    "-mllvm",
    "-asan-globals=0",
    "-mllvm",
    "-asan-instrumentation-with-call-threshold=0",
];

/// What a compiler must support: C++20 with its library, and the vectors that kernels use.
const TRIAL: &str =
    "#include <numeric>\n#include <string>\nint main() { return std::gcd(2, 4); }\n";
const TRIAL_OPTIONS: &[&str] =
    &["-std=c++20", "-march=x86-64-v3", "-x", "c++", "-o", "/dev/null", "-"];

/// `$CXX`, or otherwise g++ or clang++; the error is the reason why there is none.
pub(super) fn find() -> Result<Compiler, String> {
    find_in(std::env::var("CXX").ok().as_deref())
}

fn find_in(named: Option<&str>) -> Result<Compiler, String> {
    if let Some(named) = named.filter(|named| !named.trim().is_empty()) {
        let compiler = Compiler::try_words(named.split_whitespace());
        return compiler.map_err(|reason| format!("CXX={named} {reason}"));
    }
    let mut reasons = Vec::new();
    for name in ["g++", "clang++"] {
        match Compiler::try_words([name]) {
            Ok(compiler) => return Ok(compiler),
            Err(reason) => reasons.push(format!("{name} {reason}")),
        }
    }
    Err(format!(
        "no C++ compiler found ({}); install g++ 11 or clang 14, or later, or name one in CXX",
        reasons.join(", ")
    ))
}

impl Compiler {
    fn try_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let mut compiler = Self { words, version: String::new() };
        let output = compiler.command().arg("--version").stderr(Stdio::null()).output();
        let output = output.map_err(|_| "is not there".to_owned())?;
        let text = String::from_utf8_lossy(&output.stdout);
        compiler.version = text.lines().next().unwrap_or_default().to_owned();
        if compiler.compiles(TRIAL) {
            Ok(compiler)
        } else {
            Err("does not compile C++20 for x86-64-v3".to_owned())
        }
    }

    /// Whether a program compiles and links.
    fn compiles(&self, text: &str) -> bool {
        let mut command = self.command();
        command.args(TRIAL_OPTIONS).stdin(Stdio::piped());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(mut child) = child else { return false };
        let written =
            child.stdin.take().is_some_and(|mut pipe| pipe.write_all(text.as_bytes()).is_ok());
        child.wait().is_ok_and(|status| status.success() && written)
    }

    pub(super) fn command(&self) -> Command {
        let mut words = self.words.iter();
        let mut command = Command::new(words.next().map_or("c++", String::as_str));
        command.args(words);
        command
    }

    pub(super) fn words(&self) -> &[String] {
        &self.words
    }

    /// Options for `EMU_MEMCHECK`.
    pub(super) fn memcheck(&self) -> &'static [&'static str] {
        if self.version.contains("clang") { CLANG_MEMCHECK } else { GCC_MEMCHECK }
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.words.join(" "), self.version)
    }
}

#[cfg(test)]
impl Compiler {
    pub(super) fn named(name: &str, version: &str) -> Self {
        Self { words: vec![name.to_owned()], version: version.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_is_named_and_is_none_is_said() {
        let reason = find_in(Some("no-such-compiler -m64")).unwrap_err();
        assert_eq!(reason, "CXX=no-such-compiler -m64 is not there");
        let reason = find_in(Some("cat")).unwrap_err();
        assert_eq!(reason, "CXX=cat does not compile C++20 for x86-64-v3");
    }

    #[test]
    fn clang_takes_other_options() {
        let clang = Compiler::named("c++", "Debian clang version 16.0.6");
        assert!(clang.memcheck().contains(&"-mllvm"));
        let gcc = Compiler::named("g++", "g++ (Debian 12.2.0-14) 12.2.0");
        assert!(!gcc.memcheck().contains(&"-mllvm"));
        assert_eq!(gcc.to_string(), "g++ (g++ (Debian 12.2.0-14) 12.2.0)");
    }
}
