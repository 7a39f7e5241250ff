//! `strait plugins`: what is in the plugin folder, what a codec or press takes, and whether a file behaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};
use strait_loader::{
    CodecDescriptor, HostServices, ParamKind, ParamSpec, Plugin, PluginSet, PressDescriptor,
    PressEntry, PressError,
};
use strait_report::{plain, prose};

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
    /// List the codecs and presses of the plugin folder.
    List,
    /// Describe one codec or press: parameters, source, where its file lies.
    Show {
        /// The id.
        codec: String,
    },
    /// Run the conformance tests on a plugin file: encoders in one process, decoders in another.
    Check {
        /// The library (.so).
        file: PathBuf,
    },
    /// One of the processes of `check`.
    #[command(hide = true)]
    Work {
        /// Where questions come from.
        socket: PathBuf,
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
        Action::Work { socket, file } => {
            strait_conformance::work(&socket, &file)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn scan(dir: &Path) -> anyhow::Result<PluginSet> {
    Ok(PluginSet::scan(dir, &BTreeMap::new(), HostServices { threads: 1 })?)
}

/// A file that was refused, and why.
type Refused = (PathBuf, String);

/// Every plugin of the folder, and the messages of the files that are refused or do not load.
fn load_all(dir: &Path) -> anyhow::Result<(Vec<Arc<Plugin>>, Vec<Refused>)> {
    let set = scan(dir)?;
    let refused = set.failures().iter().map(|(path, error)| (path.clone(), error.to_string()));
    let (mut plugins, mut failures) = (Vec::new(), refused.collect::<Vec<_>>());
    for (path, loaded) in set.load_all() {
        match loaded {
            Ok(plugin) => plugins.push(plugin),
            Err(error) => failures.push((path, error.to_string())),
        }
    }
    failures.sort();
    Ok((plugins, failures))
}

fn list(dir: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let (plugins, failures) = load_all(dir)?;
    let code = if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) };
    if json {
        let codecs: Vec<Value> = plugins
            .iter()
            .flat_map(|plugin| plugin.codecs().iter().map(|codec| value(codec, plugin.file_name())))
            .collect();
        let failures: Vec<Value> = failures
            .iter()
            .map(|(path, error)| json!({"file": path.display().to_string(), "error": error}))
            .collect();
        let presses: Vec<Value> = plugins
            .iter()
            .flat_map(|plugin| {
                plugin.presses().iter().map(|press| press_value(press, plugin.file_name()))
            })
            .collect();
        let all = json!({"codecs": codecs, "presses": presses, "failures": failures});
        say(&serde_json::to_string_pretty(&all)?)?;
        return Ok(code);
    }
    let rows: Vec<[String; 4]> = plugins
        .iter()
        .flat_map(|plugin| {
            let codecs = plugin.codecs().iter();
            let codecs = codecs.map(|codec| [&codec.id, &codec.version, &codec.summary]);
            let presses = plugin.presses().iter();
            let presses = presses.map(|press| [&press.id, &press.version, &press.summary]);
            codecs.chain(presses).map(|[id, version, summary]| {
                [id.clone(), version.clone(), plugin.file_name().to_owned(), summary.clone()]
            })
        })
        .collect();
    let mut text = if rows.is_empty() {
        let dir = dir.display();
        format!("no codecs or presses in {dir}: build some with `cargo xtask build-plugin --all`")
    } else {
        let header = ["codec or press", "version", "file", "what it does"].map(str::to_owned);
        columns(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
    };
    for (path, error) in &failures {
        text.push_str(&format!(
            "\n\n{}",
            prose(&format!("{} was left out: {error}", path.display()))
        ));
    }
    say(&text)?;
    Ok(code)
}

/// Parameters for programs.
fn params_value(specs: &[ParamSpec]) -> Vec<Value> {
    let value = |spec: &ParamSpec| {
        let default = spec.default.as_ref().map(ToString::to_string);
        json!({"name": spec.name, "values": values(spec), "default": default, "meaning": spec.doc})
    };
    specs.iter().map(value).collect()
}

/// A press for programs.
fn press_value(press: &PressDescriptor, file: &str) -> Value {
    json!({
        "press": press.id,
        "version": press.version,
        "file": file,
        "summary": press.summary,
        "source": press.paper,
        "budget": press.budget,
        "side_information": press.side_information,
        "parameters": params_value(&press.params),
    })
}

/// A codec for programs.
fn value(codec: &CodecDescriptor, file: &str) -> Value {
    let params = params_value(&codec.params);
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
    match plugins.press(id) {
        Ok(press) => return show_press(&press, json),
        Err(PressError::Unknown { .. }) => {}
        Err(error) => return Err(error.into()),
    }
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
    let params = parameters(&codec.params);
    let mut compressor = format!("[[compressor]]\ncodec = {:?}", codec.id);
    let example = example(&codec.params);
    if !example.is_empty() {
        compressor.push_str(&format!("\nparams = {{ {example} }}"));
    }
    let title = format!("{} {}: {}", codec.id, codec.version, codec.summary);
    say(&[plain(&title).into_owned(), columns(&facts), params, compressor].join("\n\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn show_press(entry: &PressEntry, json: bool) -> anyhow::Result<ExitCode> {
    let (press, plugin) = (entry.descriptor(), entry.plugin());
    if json {
        let mut value = press_value(press, plugin.file_name());
        value["sha256"] = plugin.sha256().into();
        say(&serde_json::to_string_pretty(&value)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut facts = vec![
        ["file".to_owned(), plugin.path().display().to_string()],
        ["sha256".to_owned(), plugin.sha256().to_owned()],
        ["budget".to_owned(), press.budget.clone()],
    ];
    if !press.side_information.is_empty() {
        facts.push(["asks for".to_owned(), press.side_information.join(", ")]);
    }
    if !press.paper.is_empty() {
        facts.push(["source".to_owned(), press.paper.clone()]);
    }
    let cache = format!("[[cache]]\npress = {:?}\nratio = 0.5", press.id);
    let title = format!("{} {}: {}", press.id, press.version, press.summary);
    say(&[plain(&title).into_owned(), columns(&facts), parameters(&press.params), cache]
        .join("\n\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn parameters(specs: &[ParamSpec]) -> String {
    if specs.is_empty() {
        return "no parameters".to_owned();
    }
    let header = ["parameter", "values", "default", "meaning"].map(str::to_owned);
    columns(&std::iter::once(header).chain(specs.iter().map(row)).collect::<Vec<_>>())
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
    let default = spec.default.as_ref().map_or_else(|| "required".to_owned(), written);
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
    let pair = |spec: &ParamSpec| {
        let value = spec.default.as_ref().filter(|value| !value.is_null())?;
        Some(format!("{} = {}", spec.name, written(value)))
    };
    specs.iter().filter_map(pair).collect::<Vec<_>>().join(", ")
}

/// A value as TOML writes it on one line; inner codecs are tables.
fn written(value: &Value) -> String {
    let Value::Object(table) = value else { return value.to_string() };
    let pairs: Vec<String> =
        table.iter().map(|(key, value)| format!("{key} = {}", written(value))).collect();
    format!("{{ {} }}", pairs.join(", "))
}

fn check(file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let work = move || {
        let mut command = Command::new(&program);
        command.args(["plugins", "work"]);
        command
    };
    let program: strait_conformance::Program = Arc::new(work);
    let report = strait_conformance::check_library_apart(file, &program)?;
    let text = report.to_string();
    say(&if json {
        serde_json::to_string_pretty(&json!({"passed": report.passed(), "report": text}))?
    } else {
        text
    })?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
