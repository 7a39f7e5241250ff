//! Writes docs/codecs.md, the available codecs and their speed, from results/codecs.json and the head comments
//! of the plugins' sources.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::plugins::Plugin;

/// The page.
pub(crate) const PAGE: &str = "docs/codecs.md";

/// The figures.
pub(crate) const FIGURES: &str = "results/codecs.json";

/// The output of `cargo bench -p strait-conformance --bench codecs`.
#[derive(Debug, Deserialize)]
struct Figures {
    measured: String,
    environment: Environment,
    codecs: Vec<Cell>,
}

#[derive(Debug, Deserialize)]
struct Environment {
    cpu: Option<String>,
    load_before: Option<f64>,
    strait: String,
    quick: bool,
}

/// A codec with parameters.
#[derive(Debug, Deserialize)]
struct Cell {
    label: String,
    codec: String,
    params: Map<String, Value>,
    paper: String,
    summary: String,
    messages: Vec<Message>,
}

/// Messages of one shape.
#[derive(Debug, Deserialize)]
struct Message {
    tokens: usize,
    channels: usize,
    bits_value: f64,
    encode: Speed,
    decode: Speed,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Speed {
    gb_s: f64,
    ns_token: f64,
}

/// Channels of the messages, and those that the column of single tokens shows.
const CHANNELS: [usize; 3] = [576, 2048, 5120];
const SINGLE: usize = 2048;

/// Kinds of codecs with the GB/s that each should reach on one core in either direction.
const TARGETS: [(&str, f64, &[&str]); 3] = [
    (
        "scalar quantizers",
        1.0,
        &[
            "affine",
            "blockfloat",
            "cast",
            "channels",
            "ggml",
            "hivemind",
            "hqq",
            "mixed",
            "mx",
            "nvfp4",
            "outlier.columns",
            "outlier.tokens",
            "outlier.values",
        ],
    ),
    ("rotations", 0.5, &["exl3", "hadamard", "tahquant"]),
    ("entropy-coded", 0.1, &["frontier", "frontier-fitted", "lossless"]),
];

/// Why a codec is slower than its kind should be: its id, a word of its parameters or none, the reason.
const REASONS: &[(&str, &str, &str)] = &[
    ("affine", "mse", "squared errors of dozens of ranges for every group"),
    ("affine", "percentile", "a selection among the values of every token"),
    ("blockfloat", "fp4", "16 unevenly spaced entries in an order without a formula"),
    ("exl3", "compander", "the inverse of a cubic for every value, by Newton's method"),
    (
        "frontier",
        "",
        "a trellis over every row, and an adaptive distribution that learns after each value",
    ),
    ("frontier-fitted", "", "as `frontier`, behind a product with a matrix"),
    ("ggml", "iq4_nl", "the best of 9 scales for every block"),
    ("ggml", "q4_k", "the best of 9 scales for every block"),
    ("ggml", "q6_k", "the best of 9 scales for every block"),
    ("ggml", "", "the reference's rounding, and bits in the order of GGUF"),
    ("hivemind", "blockwise8", "the nearest of 256 unevenly spaced entries for every value"),
    ("hivemind", "quantile8", "quantiles of the whole message"),
    ("hivemind", "", "sums over the whole message before a value can be coded"),
    (
        "hqq",
        "",
        "the published search: up to 20 rounds over every group, with a power for every value",
    ),
    ("lossless", "range", "a binary decision with its own probability for every bit"),
    ("mixed", "", "norms and an order of tokens, then two codecs on copies of their rows"),
    (
        "outlier.columns",
        "",
        "kept columns are found over the whole message, then taken out of every row",
    ),
    ("outlier.values", "", "a selection among the values of every token"),
    (
        "tahquant",
        "",
        "an entropy, that is a logarithm for every value, and outliers searched in every tile",
    ),
];

/// Renders the page.
///
/// `source` returns the text of a file in the repository by its path.
pub(crate) fn render<'t>(
    plugins: &[Plugin<'_>],
    source: impl Fn(&str) -> Option<&'t str>,
) -> Result<String> {
    let text = source(FIGURES).with_context(|| format!("{FIGURES} is missing"))?;
    let figures: Figures = serde_json::from_str(text).context(FIGURES)?;
    let mut page = format!(
        "# Codecs\n\n\
         <!-- Written by `cargo xtask bench-codecs` from {FIGURES} and the heads of the plugins' sources: do not edit. -->\n\n\
         `strait plugins show CODEC` prints parameters with their defaults and ranges. Bytes are measured by the host, \
         so what follows explains figures and is none of them. What a byte costs in perplexity is measured by \
         [configs/catalogue.toml](../configs/catalogue.toml), and for the codecs of our own told in [frontier.md](frontier.md).\n\n\
         ## What there is\n\n\
         | codec | what it does | source | stored | limits |\n|---|---|---|---|---|\n"
    );
    let mut seen: Vec<&str> = Vec::new();
    for cell in &figures.codecs {
        if seen.contains(&cell.codec.as_str()) {
            continue;
        }
        seen.push(&cell.codec);
        let head = Head::find(plugins, &source, &cell.codec)?;
        writeln!(
            page,
            "| [`{}`](../{}) | {} | {} | {} | {} |",
            cell.codec,
            head.path,
            escaped(&cell.summary),
            link(&cell.paper),
            escaped(&head.stored),
            escaped(&head.limits),
        )?;
    }
    speed(&mut page, &figures)?;
    misses(&mut page, &figures)?;
    Ok(page)
}

fn speed(page: &mut String, figures: &Figures) -> Result<()> {
    let Environment { cpu, load_before, strait, quick } = &figures.environment;
    let load =
        load_before.map_or_else(String::new, |load| format!(", {load:.1} cores busy before"));
    let quick = if *quick { ", quick" } else { "" };
    writeln!(
        page,
        "\n## Speed\n\n\
         `cargo xtask bench-codecs`, [{FIGURES}](../{FIGURES}): {}; strait {strait}, {}{load}{quick}. \
         The messages are made up: tokens that come again, channels of log-normal sizes with three massive ones, a sink \
         (`crates/conformance/benches/codecs/input.rs`). Bits a value are of such a message, [2048, {SINGLE}]. \
         GB/s are given for 576, 2048 and 5120 channels; – is a shape that would take minutes.\n\n\
         | cell | codec | parameters | bits a value | encode, GB/s | decode, GB/s | 1 token of {SINGLE}: encode, ns | decode, ns |\n\
         |---|---|---|--:|---|---|--:|--:|",
        figures.measured,
        cpu.as_deref().unwrap_or("an unknown CPU"),
    )?;
    for cell in &figures.codecs {
        let many = |of: fn(&Message) -> Speed| {
            let speeds = CHANNELS.map(|channels| {
                let message = cell.message(2048, channels);
                message.map_or_else(|| "–".to_owned(), |message| digits(of(message).gb_s))
            });
            speeds.join(" / ")
        };
        let single = |of: fn(&Message) -> Speed| {
            let message = cell.message(1, SINGLE);
            message.map_or_else(|| "–".to_owned(), |message| format!("{:.0}", of(message).ns_token))
        };
        let bits = cell.message(2048, SINGLE).or(cell.message(2048, CHANNELS[0]));
        writeln!(
            page,
            "| {} | `{}` | {} | {} | {} | {} | {} | {} |",
            escaped(&cell.label),
            cell.codec,
            escaped(&parameters(&cell.params)),
            bits.map_or_else(String::new, |message| digits(message.bits_value)),
            many(|message| message.encode),
            many(|message| message.decode),
            single(|message| message.encode),
            single(|message| message.decode),
        )?;
    }
    Ok(())
}

/// Lists the cells that miss the target of their kind, at the slowest of the widths.
fn misses(page: &mut String, figures: &Figures) -> Result<()> {
    writeln!(page, "\n## Slower than they should be\n")?;
    for (kind, target, codecs) in TARGETS {
        let mut lines = Vec::new();
        for cell in figures.codecs.iter().filter(|cell| codecs.contains(&cell.codec.as_str())) {
            let least = |of: fn(&Message) -> Speed| {
                let long = cell.messages.iter().filter(|message| message.tokens > 1);
                long.map(|message| of(message).gb_s).fold(f64::INFINITY, f64::min)
            };
            let sides = [
                ("encode", least(|message| message.encode)),
                ("decode", least(|message| message.decode)),
            ];
            let slow: Vec<String> = sides
                .iter()
                .filter(|(_, gb_s)| *gb_s < target)
                .map(|(side, gb_s)| format!("{side} {}", digits(*gb_s)))
                .collect();
            if slow.is_empty() {
                continue;
            }
            let words = format!("{} {}", cell.label, parameters(&cell.params));
            let reason = REASONS
                .iter()
                .find(|(codec, word, _)| *codec == cell.codec && words.contains(word))
                .map_or("no search in it: memory, or another program at work", |found| found.2);
            lines.push(format!("| {} | {} | {reason} |", escaped(&cell.label), slow.join(", ")));
        }
        writeln!(
            page,
            "{} of at least {target} GB/s a core, in messages of 2048 tokens:",
            capital(kind)
        )?;
        if lines.is_empty() {
            writeln!(page, "all of them.\n")?;
        } else {
            writeln!(page, "all but\n\n| cell | GB/s at the slowest width | why |\n|---|---|---|")?;
            writeln!(page, "{}\n", lines.join("\n"))?;
        }
    }
    writeln!(
        page,
        "The others, which select, transform or decompose whole messages, have no such aim."
    )?;
    Ok(())
}

impl Cell {
    fn message(&self, tokens: usize, channels: usize) -> Option<&Message> {
        self.messages
            .iter()
            .find(|message| message.tokens == tokens && message.channels == channels)
    }
}

/// The content of a source file's head comment.
struct Head {
    path: String,
    stored: String,
    limits: String,
}

impl Head {
    /// Reads the head of the codec's own file if it has one, otherwise of its plugin's `lib.rs`.
    fn find<'t>(
        plugins: &[Plugin<'_>],
        source: &impl Fn(&str) -> Option<&'t str>,
        codec: &str,
    ) -> Result<Head> {
        let provides = |plugin: &&Plugin<'_>| plugin.table.codecs.iter().any(|id| id == codec);
        let Some(plugin) = plugins.iter().find(provides) else {
            bail!("{FIGURES} has the codec {codec:?}, which no plugin declares");
        };
        let files = [format!("{codec}.rs"), format!("micro/{codec}.rs"), "lib.rs".to_owned()];
        for path in files.map(|file| format!("plugins/{}/src/{file}", plugin.id)) {
            let Some(text) = source(&path) else { continue };
            let paragraphs = paragraphs(text);
            let stored = paragraphs.iter().find_map(|text| from(text, "Stored"));
            let limits = paragraphs.iter().find_map(|text| from(text, "Limits: "));
            if let Some(limits) = limits {
                let limits = limits.trim_start_matches("Limits: ").to_owned();
                let stored = stored.or_else(|| table_note(&paragraphs)).unwrap_or_default();
                return Ok(Head { path, stored, limits });
            }
        }
        bail!(
            "plugins/{}: no file says the limits of {codec:?} in a paragraph with \"Limits: \"",
            plugin.id
        )
    }
}

/// The `//!` head of a source file as paragraphs of one line each, without examples.
fn paragraphs(source: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    let mut fenced = false;
    for line in source.lines().map_while(|line| line.strip_prefix("//!")) {
        let line = line.trim();
        if line.starts_with("```") {
            fenced = !fenced;
        } else if line.is_empty() {
            paragraphs.push(String::new());
        } else if !fenced && let Some(last) = paragraphs.last_mut() {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(line);
        }
    }
    paragraphs
}

/// The rest of a paragraph from the place where a sentence begins with `word`.
fn from(paragraph: &str, word: &str) -> Option<String> {
    let at = if paragraph.starts_with(word) {
        0
    } else {
        paragraph.find(&format!(". {word}")).map(|at| at + 2)?
    };
    Some(paragraph[at..].to_owned())
}

/// A reference to the table that says what is stored.
fn table_note(paragraphs: &[String]) -> Option<String> {
    let has = paragraphs.iter().any(|text| text.starts_with('|'));
    has.then(|| "as the table in the source says".to_owned())
}

fn parameters(params: &Map<String, Value>) -> String {
    let words: Vec<String> =
        params.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
    words.join(" ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(table) => format!("({})", parameters(table)),
        other => other.to_string(),
    }
}

/// A link whose text is the part after the host, or a dash.
fn link(address: &str) -> String {
    let Some((_, rest)) = address.split_once("://") else { return "–".to_owned() };
    let name = match rest.strip_prefix("arxiv.org/abs/") {
        Some(number) => format!("arXiv {number}"),
        None => rest.trim_end_matches('/').to_owned(),
    };
    format!("[{name}]({address})")
}

/// Text for a table cell; rustdoc links to items become plain text.
fn escaped(text: &str) -> String {
    text.replace("\\|", "|").replace('|', "\\|").replace("[`", "`").replace("`]", "`")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Formats three significant digits.
fn digits(value: f64) -> String {
    let places = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        v if v >= 0.1 => 3,
        _ => 4,
    };
    format!("{value:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins;
    use crate::workspace::tests::{package, workspace};

    const SOURCE: &str = "//! raw: bytes.\n//!\n//! Paper: none. Stored: a | b\n//! and c.\n//!\n\
                          //! ```\n//! Limits: not these\n//! ```\n//!\n//! Error: e. Limits: l [`X`].\n\nfn f() {}\n";

    fn figures(gb_s: f64) -> String {
        serde_json::json!({
            "measured": "so",
            "environment": { "cpu": "C", "load_before": 0.25, "strait": "1", "quick": false },
            "codecs": [{
                "label": "int4", "codec": "cast", "params": { "bits": 4, "inner": { "codec": "x" } },
                "paper": "https://arxiv.org/abs/1", "summary": "s",
                "messages": [{
                    "tokens": 2048, "channels": 2048, "bits_value": 4.25,
                    "encode": { "gb_s": gb_s, "ns_token": 1.0 },
                    "decode": { "gb_s": 12.34, "ns_token": 2.0 },
                }],
            }],
        })
        .to_string()
    }

    fn page(figures: &str) -> Result<String> {
        let mut cast = package("strait-cast", "plugins/cast", &[]);
        cast.metadata = serde_json::json!({ "strait": { "codecs": ["cast"] } });
        let workspace = workspace(vec![cast]);
        let files = [(FIGURES, figures), ("plugins/cast/src/lib.rs", SOURCE)];
        let found = |path: &str| files.iter().find(|(name, _)| *name == path).map(|file| file.1);
        render(&plugins::all(&workspace)?, found)
    }

    #[test]
    fn a_row_has_what_the_source_and_the_figures_say() {
        let page = page(&figures(0.5)).unwrap();
        let row = "| [`cast`](../plugins/cast/src/lib.rs) | s | [arXiv 1](https://arxiv.org/abs/1) | \
                   Stored: a \\| b and c. | l `X`. |";
        assert!(page.lines().any(|line| line == row), "{page}");
        let row = "| int4 | `cast` | bits=4 inner=(codec=x) | 4.25 | – / 0.500 / – | – / 12.3 / – | – | – |";
        assert!(page.lines().any(|line| line == row), "{page}");
        let miss = "| int4 | encode 0.500 | no search in it: memory, or another program at work |";
        assert!(page.lines().any(|line| line == miss), "{page}");
    }

    #[test]
    fn a_codec_that_is_fast_enough_is_no_miss() {
        assert!(!page(&figures(1.5)).unwrap().contains("| int4 | encode"));
    }

    #[test]
    fn unknown_codecs_and_broken_figures_are_errors() {
        let unknown = figures(1.0).replace("\"cast\"", "\"gone\"");
        assert!(page(&unknown).unwrap_err().to_string().contains("\"gone\""));
        assert!(page("{}").is_err());
    }
}
