//! `strait plugins`: what is in the plugin folder, what a codec takes, and whether a file behaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};
use strait_loader::{CodecDescriptor, HostServices, ParamKind, ParamSpec, PluginSet};

use crate::output::{columns, say};

/// What to do with which plugins.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// The plugin folder.
    #[arg(long, global = true, default_value = "plugins", value_name = "DIR")]
    dir: PathBuf,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
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
        Action::List => list(&arguments.dir, arguments.json),
        Action::Show { codec } => show(&arguments.dir, &codec, arguments.json),
        Action::Check { file } => check(&file, arguments.json),
    }
}

fn scan(dir: &Path) -> anyhow::Result<PluginSet> {
    Ok(PluginSet::scan(dir, &BTreeMap::new(), HostServices { threads: 1 })?)
}

fn list(dir: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let plugins = scan(dir)?;
    let code = if plugins.failures().is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) };
    if json {
        let codecs: Vec<Value> = plugins
            .plugins()
            .iter()
            .flat_map(|plugin| plugin.codecs().iter().map(|codec| value(codec, plugin.file_name())))
            .collect();
        let failures: Vec<Value> = plugins
            .failures()
            .iter()
            .map(|(path, error)| json!({"file": path.display().to_string(), "error": error.to_string()}))
            .collect();
        let all = json!({"codecs": codecs, "failures": failures});
        say(&serde_json::to_string_pretty(&all)?)?;
        return Ok(code);
    }
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
    let mut text = match rows.is_empty() {
        true => {
            let dir = dir.display();
            format!("no codecs in {dir}: build some with `cargo xtask build-plugin --all`")
        }
        false => {
            let header = ["codec", "version", "file", "what it does"].map(str::to_owned);
            columns(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
        }
    };
    for (path, error) in plugins.failures() {
        text.push_str(&format!("\n\n{} was left out: {error}", path.display()));
    }
    say(&text)?;
    Ok(code)
}

/// A codec for programs.
fn value(codec: &CodecDescriptor, file: &str) -> Value {
    let params: Vec<Value> = codec
        .params
        .iter()
        .map(|spec| {
            let default = spec.default.as_ref().map(ToString::to_string);
            json!({"name": spec.name, "values": values(spec), "default": default, "meaning": spec.doc})
        })
        .collect();
    json!({
        "codec": codec.id,
        "version": codec.version,
        "file": file,
        "summary": codec.summary,
        "source": codec.paper,
        "sites": codec.sites,
        "lossless": codec.lossless,
        "parameters": params,
    })
}

fn show(dir: &Path, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let plugins = scan(dir)?;
    let entry = plugins.codec(id)?;
    let codec = entry.descriptor();
    let plugin = entry.plugin();
    if json {
        let mut value = value(codec, plugin.file_name());
        value["sha256"] = plugin.sha256().into();
        say(&serde_json::to_string_pretty(&value)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut facts = vec![
        ["file".to_owned(), plugin.path().display().to_string()],
        ["sha256".to_owned(), plugin.sha256().to_owned()],
        ["sites".to_owned(), codec.sites.join(", ")],
        ["properties".to_owned(), properties(codec)],
    ];
    if !codec.paper.is_empty() {
        facts.push(["source".to_owned(), codec.paper.clone()]);
    }
    let params = match codec.params.is_empty() {
        true => "no parameters".to_owned(),
        false => {
            let header = ["parameter", "values", "default", "meaning"].map(str::to_owned);
            let rows = codec.params.iter().map(row);
            columns(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
        }
    };
    let mut compressor = format!("[[compressor]]\ncodec = {:?}", codec.id);
    let example = example(&codec.params);
    if !example.is_empty() {
        compressor.push_str(&format!("\nparams = {{ {example} }}"));
    }
    let title = format!("{} {}: {}", codec.id, codec.version, codec.summary);
    say(&[title, columns(&facts), params, compressor].join("\n\n"))?;
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
        ParamKind::Codec => "codec",
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

fn check(file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let report = strait_conformance::check_library(file)?;
    let text = report.to_string();
    say(&match json {
        true => serde_json::to_string_pretty(&json!({"passed": report.passed(), "report": text}))?,
        false => text,
    })?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
