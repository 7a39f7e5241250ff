//! `strait plugins`: what is in the plugin folder, what a codec takes, and whether a file behaves.

#![allow(clippy::print_stdout, reason = "lists are the command's output")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use strait_loader::{CodecDescriptor, HostServices, ParamKind, ParamSpec, PluginSet};

/// What to do with which plugins.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// The plugin folder.
    #[arg(long, global = true, default_value = "plugins", value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Subcommand)]
enum Action {
    /// List the codecs of the plugin folder.
    List,
    /// Describe one codec: parameters, sites, source, where its file lies.
    Show {
        /// The codec's id.
        codec: String,
    },
    /// Run the conformance tests on a plugin file.
    Check {
        /// The library (.so).
        file: PathBuf,
    },
}

/// Prints the list, the description or the test results.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.action {
        Action::List => list(&arguments.dir),
        Action::Show { codec } => show(&arguments.dir, &codec),
        Action::Check { file } => check(&file),
    }
}

fn scan(dir: &Path) -> anyhow::Result<PluginSet> {
    Ok(PluginSet::scan(dir, &BTreeMap::new(), HostServices { threads: 1 })?)
}

fn list(dir: &Path) -> anyhow::Result<ExitCode> {
    let plugins = scan(dir)?;
    let rows: Vec<[String; 4]> = plugins
        .plugins()
        .iter()
        .flat_map(|plugin| {
            plugin.codecs().iter().map(|codec| {
                [
                    codec.id.clone(),
                    codec.version.clone(),
                    plugin.file_name().to_owned(),
                    codec.summary.clone(),
                ]
            })
        })
        .collect();
    if rows.is_empty() {
        println!(
            "no codecs in {}: build some with `cargo xtask build-plugin --all`",
            dir.display()
        );
    } else {
        let header = ["codec", "version", "file", "what it does"].map(str::to_owned);
        print_columns(std::iter::once(&header).chain(&rows));
    }
    for (path, error) in plugins.failures() {
        println!("\n{} was left out: {error}", path.display());
    }
    Ok(if plugins.failures().is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn show(dir: &Path, id: &str) -> anyhow::Result<ExitCode> {
    let plugins = scan(dir)?;
    let entry = plugins.codec(id)?;
    let codec = entry.descriptor();
    println!("{} {}: {}\n", codec.id, codec.version, codec.summary);
    let plugin = entry.plugin();
    let mut facts = vec![
        ["file".to_owned(), plugin.path().display().to_string()],
        ["sha256".to_owned(), plugin.sha256().to_owned()],
        ["sites".to_owned(), codec.sites.join(", ")],
        ["properties".to_owned(), properties(codec)],
    ];
    if !codec.paper.is_empty() {
        facts.push(["source".to_owned(), codec.paper.clone()]);
    }
    print_columns(&facts);
    println!();
    if codec.params.is_empty() {
        println!("no parameters");
    } else {
        let rows: Vec<[String; 4]> = codec.params.iter().map(row).collect();
        let header = ["parameter", "values", "default", "meaning"].map(str::to_owned);
        print_columns(std::iter::once(&header).chain(&rows));
    }
    println!("\n[[compressor]]\ncodec = {:?}", codec.id);
    let example = example(&codec.params);
    if !example.is_empty() {
        println!("params = {{ {example} }}");
    }
    Ok(ExitCode::SUCCESS)
}

fn properties(codec: &CodecDescriptor) -> String {
    let mut words = vec![if codec.lossless { "lossless" } else { "lossy" }];
    if codec.stateful {
        words.push("keeps state within a sequence");
    }
    if codec.fits {
        words.push("can be fitted");
    }
    words.join(", ")
}

fn row(spec: &ParamSpec) -> [String; 4] {
    let default = spec.default.as_ref().map_or_else(|| "required".to_owned(), ToString::to_string);
    [spec.name.clone(), values(spec), default, spec.doc.clone()]
}

fn values(spec: &ParamSpec) -> String {
    match (spec.kind, &spec.min, &spec.max) {
        (ParamKind::Choice, ..) => {
            let names: Vec<&str> = spec.choices.iter().map(|choice| choice.name.as_str()).collect();
            names.join(" | ")
        }
        (kind, Some(min), Some(max)) => format!("{} {min} to {max}", kind_name(kind)),
        (kind, Some(min), None) => format!("{} from {min}", kind_name(kind)),
        (kind, None, Some(max)) => format!("{} up to {max}", kind_name(kind)),
        (kind, None, None) => kind_name(kind).to_owned(),
    }
}

fn kind_name(kind: ParamKind) -> &'static str {
    match kind {
        ParamKind::Integer => "integer",
        ParamKind::Number => "number",
        ParamKind::Boolean => "true | false",
        ParamKind::String => "text",
        ParamKind::Choice => "choice",
        ParamKind::Any => "any value",
    }
}

fn example(specs: &[ParamSpec]) -> String {
    let written = |spec: &ParamSpec| {
        let value = spec.default.as_ref().filter(|value| !value.is_null())?;
        Some(format!("{} = {value}", spec.name))
    };
    specs.iter().filter_map(written).collect::<Vec<_>>().join(", ")
}

fn check(file: &Path) -> anyhow::Result<ExitCode> {
    let report = strait_conformance::check_library(file)?;
    print!("{report}");
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Prints rows with columns as wide as their widest cell.
fn print_columns<'a, const N: usize>(rows: impl IntoIterator<Item = &'a [String; N]>) {
    let rows: Vec<&[String; N]> = rows.into_iter().collect();
    let width = |column: usize| {
        rows.iter().map(|row| console::measure_text_width(&row[column])).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(text, width)| format!("{text:width$}")).collect();
        println!("{}", line.join("  ").trim_end());
    }
}
