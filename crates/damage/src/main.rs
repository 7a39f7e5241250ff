//! `strait-damage`: mutates files and reads them, for `cargo xtask soak`.
//!
//! ```text
//! strait-damage read KIND SEED FIRST COUNT FILE…    reads mutations of files, and says what was not kept
//! strait-damage write KIND SEED FIRST COUNT FOLDER FILE…   writes them to FOLDER, named by their index
//! strait-damage payloads FOLDER                     writes a payload of every codec
//! strait-damage kinds                               prints the names of the kinds
//! ```
//!
//! `read` prints `at INDEX` before each mutation, so that whoever reads along knows which one ended the process,
//! and `bad INDEX TEXT` behind one that was not read as it must be.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to the program above it")]

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use strait_damage::{Dice, KINDS, Kind, mutate, payload_seeds};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[&str]) -> Result<(), Box<dyn Error>> {
    match words {
        ["kinds"] => {
            KINDS.iter().for_each(|kind| println!("{}", kind.name));
            Ok(())
        }
        ["payloads", folder] => {
            for (name, bytes) in payload_seeds()? {
                std::fs::write(Path::new(folder).join(name), bytes)?;
            }
            Ok(())
        }
        ["read", kind, seed, first, count, files @ ..] => {
            let kind = Kind::named(kind).ok_or_else(|| format!("no kind {kind:?}"))?;
            read(kind, &Mutations::new(kind.name, seed, first, count, files)?)
        }
        ["write", name, seed, first, count, folder, files @ ..] => {
            let mutations = Mutations::new(name, seed, first, count, files)?;
            for index in mutations.indices() {
                let path = Path::new(folder).join(index.to_string());
                std::fs::write(path, mutations.make(index).1)?;
            }
            Ok(())
        }
        _ => Err("expected read, write, payloads or kinds; see the head of main.rs".into()),
    }
}

fn read(kind: &Kind, mutations: &Mutations) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    for index in mutations.indices() {
        writeln!(out, "at {index}")?;
        out.flush()?;
        let (whole, damaged) = mutations.make(index);
        if let Err(text) = kind.read_damaged(&damaged, whole) {
            writeln!(out, "bad {index} {}", text.escape_debug())?;
        }
    }
    Ok(())
}

/// Mutations of some files, each with an index.
struct Mutations {
    name: String,
    seed: u64,
    first: u64,
    count: u64,
    files: Vec<Vec<u8>>,
}

impl Mutations {
    fn new(
        name: &str,
        seed: &str,
        first: &str,
        count: &str,
        files: &[&str],
    ) -> Result<Self, Box<dyn Error>> {
        let paths = files.iter().map(PathBuf::from);
        let files = paths.map(std::fs::read).collect::<Result<Vec<_>, _>>()?;
        if files.is_empty() {
            return Err("expected files to mutate, found none".into());
        }
        let (seed, first, count) = (seed.parse()?, first.parse()?, count.parse()?);
        Ok(Self { name: name.to_owned(), seed, first, count, files })
    }

    fn indices(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.count
    }

    /// A file and its damaged copy.
    fn make(&self, index: u64) -> (&[u8], Vec<u8>) {
        let mut dice = Dice::new(self.seed, &self.name, index);
        let whole = dice.one_of(&self.files).map_or(&[][..], Vec::as_slice);
        let other = dice.one_of(&self.files).map_or(&[][..], Vec::as_slice);
        (whole, mutate(whole, other, &mut dice))
    }
}
