//! Throughput of built plugins through the loader, one thread: what a user of a codec gets.
//!
//! `cargo xtask bench-codecs` builds the plugins, calls this and renders the figures. Alone:
//! `cargo bench -p strait-conformance --bench codecs -- [--quick] [--plugins DIR] [--experiment FILE] [--json FILE] [LABEL…]`
//!
//! Of a sweep over numbers the middle one is measured, of one over names each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod input;
mod measure;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use strait_loader::{HostServices, PluginSet};
use strait_schema::{CellSpec, Experiment};

use measure::Bench;

struct Args {
    quick: bool,
    plugins: PathBuf,
    experiment: PathBuf,
    json: Option<PathBuf>,
    labels: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::read()?;
    let set = PluginSet::scan(&args.plugins, &BTreeMap::new(), HostServices::default())?;
    for (_, failure) in set.failures() {
        eprintln!("{failure}");
    }
    let experiment = Experiment::load(&args.experiment)?;
    let mut codecs = Vec::new();
    for cell in chosen(&experiment)? {
        let wanted = |label: &String| cell.label.contains(label) || cell.codec == *label;
        if !args.labels.is_empty() && !args.labels.iter().any(wanted) {
            continue;
        }
        let entry = set.codec(&cell.codec)?;
        let bench = Bench { entry: &entry, params: &cell.params, quick: args.quick };
        let messages = bench.run(&cell.label)?;
        let descriptor = entry.descriptor();
        codecs.push(json!({
            "label": cell.label,
            "codec": cell.codec,
            "params": cell.params,
            "paper": descriptor.paper,
            "summary": descriptor.summary,
            "stateful": descriptor.stateful,
            "fits": descriptor.fits,
            "messages": messages,
        }));
    }
    let figures = json!({
        "measured": "f32 messages through the loader, GB/s of input in CPU time of the one thread; messages of 2048 tokens, and of 1 token in sequences of 256; medians",
        "environment": {
            "cpu": cpu(),
            "load_before": load(),
            "strait": env!("CARGO_PKG_VERSION"),
            "quick": args.quick,
        },
        "codecs": codecs,
    });
    let text = serde_json::to_string_pretty(&figures)? + "\n";
    match &args.json {
        Some(file) => fs::write(file, text)?,
        None => print!("{text}"),
    }
    Ok(())
}

impl Args {
    fn read() -> Result<Args, Box<dyn Error>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut args = Args {
            quick: false,
            plugins: root.join("plugins"),
            experiment: root.join("configs/catalogue.toml"),
            json: None,
            labels: Vec::new(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut path = || words.next().map(PathBuf::from).ok_or(format!("{word}: a path"));
            match word.as_str() {
                // What cargo adds.
                "--bench" => {}
                "--quick" => args.quick = true,
                "--plugins" => args.plugins = path()?,
                "--experiment" => args.experiment = path()?,
                "--json" => args.json = Some(path()?),
                _ if word.starts_with("--") => return Err(format!("unknown: {word}").into()),
                _ => args.labels.push(word),
            }
        }
        Ok(args)
    }
}

/// The cells of an experiment, of numbers that are swept only the middle one.
fn chosen(experiment: &Experiment) -> Result<Vec<CellSpec>, Box<dyn Error>> {
    let mut cells = experiment.cells()?;
    cells.retain(|cell| {
        experiment.compressor[cell.compressor].sweep.iter().all(|(key, values)| {
            let middle = &values[values.len() / 2];
            !middle.is_number() || at(&cell.params, key) == Some(middle)
        })
    });
    Ok(cells)
}

/// The value of a key, whose dots lead into inner codecs.
fn at<'a>(params: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((table, key)) => at(params.get(table)?.as_object()?, key),
        None => params.get(key),
    }
}

fn cpu() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The system's load over the last minute, where it tells.
fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}
