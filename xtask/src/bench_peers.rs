//! `cargo xtask bench-peers`: measures strait and what people use instead, on the same work in a
//! single run.
//!
//! The peer is PyTorch with Transformers and forward hooks (`xtask/peers`). Peer and strait take
//! turns, so that a machine that slows down in the meantime slows both; a ratio is taken within each
//! round.

mod job;
mod llama_cpp;
mod outcome;
mod peer;
mod python;
mod strait;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::Workspace;
use job::{JOBS, Job};
use outcome::{Environment, JobResult, Report, Round, Sitting};
use peer::Peer;
use strait::Strait;

/// The model, relative to the root, and the script that fetches it.
const MODEL: &str = "models/SmolLM2-135M-Instruct.Q4_1.gguf";
const TEXT: &str = "assets/wikitext-2-raw/test-00000-of-00001.parquet";

/// Measure strait against PyTorch with Transformers, and optionally llama.cpp
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often each job is run by each program
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Tokens from the start of WikiText-2's test split
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(2..))]
    tokens: u32,
    /// Threads of each program; each program's own choice when left out
    #[arg(long)]
    threads: Option<u32>,
    /// Run this job only (repeatable)
    #[arg(long = "job", value_name = "NAME", value_parser = job::NAMES)]
    jobs: Vec<String>,
    /// A Python that has the packages of xtask/peers/requirements.txt; by default they are
    /// installed into target/peers
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Also measure llama.cpp, built from the source that the PyPI package llama-cpp-python contains
    #[arg(long)]
    llama_cpp: bool,
    /// Where the figures go, instead of to results/peers.json
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Number of busy cores above which a warning says that the figures are of little value.
const BUSY: f64 = 0.5;

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let load_before = load();
    if let Some(load) = load_before.filter(|load| *load > BUSY) {
        eprintln!("other programs keep {load:.1} cores busy: the times will say little");
    }
    let workspace = Workspace::load()?;
    let root = &workspace.root;
    let model = root.join(MODEL);
    ensure!(
        model.is_file(),
        "{MODEL} is not there; run scripts/fetch-smollm2.sh models (98 MB, once)"
    );
    let scratch = workspace.target_directory.join("bench-peers");
    fs::create_dir_all(&scratch).with_context(|| scratch.display().to_string())?;

    let requirements = root.join("xtask/peers/requirements.txt");
    let python = match &args.python {
        Some(python) => python::given(python, &requirements)?,
        None => python::installed(&workspace.target_directory.join("peers"), &requirements)?,
    };
    let strait = Strait::build(&workspace, &model, &scratch, args.tokens, args.threads)?;
    eprintln!("starting the peer; both load the model before anything is timed");
    let text = root.join(TEXT);
    let peer = Peer::start(root, &python, &model, &text, &scratch, args.tokens, args.threads)?;

    let output = args.output.clone().unwrap_or_else(|| root.join("results/peers.json"));
    let mut bench = Bench {
        args,
        strait,
        peer,
        scratch: &scratch,
        model: &model,
        output: &output,
        load_before,
        report: None,
    };
    let mut failed = Vec::new();
    for job in JOBS.iter().filter(|job| args.jobs.is_empty() || args.selects(job.name)) {
        if let Err(error) = bench.run(job) {
            eprintln!("\nerror: {}: {error:#}", job.name);
            failed.push(job.name);
        }
    }
    if args.llama_cpp || args.selects(job::LLAMA_CPP) {
        let tool = llama_cpp::build(&workspace.target_directory.join("llama.cpp"));
        if let Err(error) = tool.and_then(|tool| bench.llama_cpp(&tool)) {
            eprintln!("\nerror: {}: {error:#}", job::LLAMA_CPP);
            failed.push(job::LLAMA_CPP);
        }
    }
    if let Some(report) = &bench.report {
        println!("\n{report}");
        println!("\n{}", output.display());
    }
    if !failed.is_empty() {
        bail!("these jobs failed and are not in the figures: {}", failed.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

/// The system's load over the last minute, if it reports one.
fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

impl Args {
    fn selects(&self, name: &str) -> bool {
        self.jobs.iter().any(|job| job == name)
    }
}

/// Both programs, ready to run, and their results so far.
struct Bench<'a> {
    args: &'a Args,
    strait: Strait<'a>,
    peer: Peer,
    scratch: &'a Path,
    model: &'a Path,
    output: &'a Path,
    load_before: Option<f64>,
    report: Option<Report>,
}

impl Bench<'_> {
    fn run(&mut self, job: &Job) -> Result<()> {
        let mut rounds = Vec::new();
        let mut cells = Vec::new();
        for round in 1..=self.args.rounds {
            eprint!("{} {round}/{}:", job.name, self.args.rounds);
            let peer = self.peer.run(job, false)?;
            eprint!(" peer {:.2} s,", peer.seconds);
            let strait = self.strait.run(job)?;
            eprint!(" strait {:.2} s,", strait.sitting.seconds);
            let scored_only = self.peer.run(job, true)?;
            eprintln!(" peer on scored positions only {:.2} s", scored_only.seconds);

            strait.facts.check_tokens(self.peer.facts())?;
            cells = outcome::agree(job, &strait.sitting, &peer)?;
            outcome::agree(job, &strait.sitting, &scored_only)?;
            rounds.push(Round::new(&strait.sitting, &peer, Some(&scored_only)));
            self.know(&strait.facts);
        }
        self.save(JobResult::new(job.name, peer::NAME, cells, rounds))
    }

    /// llama.cpp's perplexity tool has its own windows, so strait uses the same.
    fn llama_cpp(&mut self, tool: &Path) -> Result<()> {
        let job = job::llama_cpp();
        let windows = self.args.tokens / job::WINDOW;
        ensure!(windows >= 2, "expected --tokens {} or more", 2 * job::WINDOW);
        let text = self.scratch.join(peer::TEXT_FILE);
        let mut tool = llama_cpp::Tool::new(tool, self.model, &text, windows, self.args.threads);
        let mut rounds = Vec::new();
        let mut cells = Vec::new();
        for round in 1..=self.args.rounds {
            eprint!("{} {round}/{}:", job.name, self.args.rounds);
            let peer: Sitting = tool.run()?;
            eprint!(" llama.cpp {:.2} s,", peer.seconds);
            let strait = self.strait.run(&job)?;
            eprintln!(" strait {:.2} s", strait.sitting.seconds);
            cells = outcome::agree(&job, &strait.sitting, &peer)?;
            rounds.push(Round::new(&strait.sitting, &peer, None));
            self.know(&strait.facts);
        }
        let result = JobResult::new(job.name, llama_cpp::NAME, cells, rounds)
            .with_throughput(windows * job::WINDOW)
            .with_note(tool.note());
        self.save(result)
    }

    fn know(&mut self, strait: &strait::Facts) {
        self.report.get_or_insert_with(|| {
            let peer = self.peer.facts();
            Report::new(Environment::new(strait, peer, self.args.rounds, self.load_before))
        });
    }

    /// Saves after every job, so that nothing is lost when a later one fails.
    fn save(&mut self, result: JobResult) -> Result<()> {
        let report = self.report.as_mut().context("a job leaves facts about the environment")?;
        report.jobs.push(result);
        let json = serde_json::to_string_pretty(report)? + "\n";
        fs::write(self.output, json).with_context(|| format!("writing {}", self.output.display()))
    }
}
