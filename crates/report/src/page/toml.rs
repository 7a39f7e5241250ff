//! The experiment file that measures one cell again.

use serde_json::Value;
use strait_schema::Record;

/// TOML that `strait run` takes: the cell's model, text, protocol, cuts and codec, with defaults filled
/// in. Comments hold what a file cannot ask for: the hashes it must meet again.
pub(crate) fn experiment(record: &Record) -> String {
    let cell = &record.cell;
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("# {} of {}, record {}", record.label, record.experiment, short(&record.id)));
    line(format!("name = {}", string(&record.experiment)));

    line("\n[model]".to_owned());
    line(format!("source = {}", string(&cell.model.source)));
    line(format!("dtype = {}", string(cell.model.dtype.name())));
    for (file, sha256) in &cell.model.files {
        line(format!("# {file} sha256:{sha256}"));
    }

    line("\n[data]".to_owned());
    line(format!("source = {}", string(&cell.data.source)));
    line(format!("split = {}", string(&cell.data.split)));
    for (key, value) in [
        ("sample_idx", cell.data.sample_idx),
        ("max_documents", cell.data.max_documents),
        ("first_k_tokens", cell.protocol.first_k_tokens),
    ] {
        if let Some(value) = value {
            line(format!("{key} = {value}"));
        }
    }
    line(format!("# joined text sha256:{}", cell.data.text_sha256));

    let protocol = &cell.protocol;
    line("\n[protocol]".to_owned());
    line(format!("preset = {}", string(protocol.preset.name())));
    line(format!("window = {}\nstride = {}", protocol.window, protocol.stride));
    line(match protocol.max_windows {
        Some(most) => format!("max_windows = {most}"),
        None => "max_windows = \"all\"".to_owned(),
    });
    line(format!("# fingerprint {}", protocol.fingerprint));

    line("\n[partition]".to_owned());
    if cell.partition.cuts.is_empty() {
        line("plan = \"none\"".to_owned());
    } else {
        let nodes: Vec<String> = cell.partition.nodes.iter().map(|node| string(node)).collect();
        line(format!("cuts = {:?}\nnodes = [{}]", cell.partition.cuts, nodes.join(", ")));
    }

    line(format!("\n[run]\nseed = {}", cell.seed));
    if let Some(chunk) = cell.chunk_tokens {
        line(format!("chunk_tokens = {chunk}"));
    }

    if let Some(codec) = &cell.compressor {
        if !codec.plugin_sha256.is_empty() {
            let (file, sha256) = (string(&codec.plugin), &codec.plugin_sha256);
            line(format!("\n[plugins]\npin = {{ {file} = \"sha256:{sha256}\" }}"));
        }
        line("\n[[compressor]]".to_owned());
        line(format!("label = {}", string(&record.label)));
        line(format!("codec = {}  # version {}", string(&codec.codec), codec.codec_version));
        let params: Vec<String> = codec
            .params
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| format!("{} = {}", name(key), literal(value)))
            .collect();
        if !params.is_empty() {
            line(format!("params = {{ {} }}", params.join(", ")));
        }
        if codec.links.len() != cell.partition.links.len() {
            line(format!("links = {:?}", codec.links));
        }
        if let Some(sha256) = &codec.artifact_sha256 {
            line(format!("# with a fitted artifact of sha256:{sha256}"));
        }
    }
    out
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// A basic string: TOML's escapes are JSON's.
fn string(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

fn name(key: &str) -> String {
    let bare =
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { key.to_owned() } else { string(key) }
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        Value::Array(values) => {
            format!("[{}]", values.iter().map(literal).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let pairs: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{} = {}", name(key), literal(value)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        // An exponent without a point, `1e-5`, is a float in TOML too.
        other => other.to_string(),
    }
}

/// Parameters in the order of their names, to compare settings with.
pub(crate) fn sorted(params: &serde_json::Map<String, Value>) -> String {
    let mut pairs: Vec<String> =
        params.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.sort();
    pairs.join(" ")
}
