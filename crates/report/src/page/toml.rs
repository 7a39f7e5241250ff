//! The experiment file that measures one cell again.

use serde_json::{Map, Value};
use strait_schema::{CellCache, CellCacheCodec, CellKind, Record};

/// TOML that `strait run` takes: the cell's model, text, protocol, cuts, codec or press, with defaults
/// filled in. Comments hold what a file cannot ask for: the hashes it must meet again. A model that is
/// compared needs the record of its `reference`.
pub(crate) fn experiment(record: &Record, reference: Option<&Record>) -> String {
    let cell = &record.cell;
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("# {} of {}, record {}", record.label, record.experiment, short(&record.id)));
    line(format!("name = {}", string(&record.experiment)));

    let compared = reference.filter(|_| cell.reference().is_some());
    for record in compared.into_iter().chain([record]) {
        let model = &record.cell.model;
        line(match compared {
            Some(_) => format!("\n[[model]]\nlabel = {}", string(&record.label)),
            None => "\n[model]".to_owned(),
        });
        line(format!("source = {}", string(&model.source)));
        line(format!("dtype = {}", string(model.dtype.name())));
        if let Some(kind) = model.load_in {
            line(format!("load_in = {}", string(kind.name())));
        }
        for (file, sha256) in &model.files {
            line(format!("# {file} sha256:{sha256}"));
        }
    }
    if let (Some(id), None) = (cell.reference(), compared) {
        line(format!("# compared with the model of record {}, which is not here", short(id)));
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
    if let Some(context) = protocol.context {
        line(format!("context = {context}"));
    }
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
    if matches!(cell.kind, CellKind::Noise { .. }) {
        line("noise_floor = true".to_owned());
    }
    if let Some(cache) = cell.cache() {
        line(cached(&record.label, cache));
    }

    if let Some(codec) = cell.compressor() {
        if !codec.plugin_sha256.is_empty() {
            let (file, sha256) = (string(&codec.plugin), &codec.plugin_sha256);
            line(format!("\n[plugins]\npin = {{ {file} = \"sha256:{sha256}\" }}"));
        }
        line("\n[[compressor]]".to_owned());
        line(format!("label = {}", string(&record.label)));
        line(format!("codec = {}  # version {}", string(&codec.codec), codec.codec_version));
        let params = pairs(&codec.params);
        if !params.is_empty() {
            line(format!("params = {{ {} }}", params.join(", ")));
        }
        for (inner, sha256) in &codec.inner {
            line(format!("# inner codec {inner} of a plugin of sha256:{sha256}"));
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

/// The tables of a cell that compresses the KV cache.
fn cached(label: &str, cache: &CellCache) -> String {
    let mut lines = Vec::new();
    if !cache.plugins.is_empty() {
        let pins = cache.plugins.iter();
        let pins: Vec<String> =
            pins.map(|(file, sha256)| format!("{} = \"sha256:{sha256}\"", string(file))).collect();
        lines.push(format!("\n[plugins]\npin = {{ {} }}", pins.join(", ")));
    }
    if let Some(interval) = cache.interval {
        lines.push(format!("\n[kv]\ninterval = {interval}"));
    }
    lines.push(format!("\n[[cache]]\nlabel = {}", string(label)));
    if let Some(press) = &cache.press {
        lines.push(format!("press = {}", string(press)));
    }
    let params = pairs(&cache.params);
    if !params.is_empty() {
        lines.push(format!("params = {{ {} }}", params.join(", ")));
    }
    lines.extend(cache.ratio.map(|ratio| format!("ratio = {ratio:?}")));
    lines.extend(cache.size.map(|size| format!("size = {size}")));
    let then = cache.then.iter().map(|press| {
        let mut keys = vec![format!("press = {}", string(&press.press))];
        let params = pairs(&press.params);
        keys.extend((!params.is_empty()).then(|| format!("params = {{ {} }}", params.join(", "))));
        keys.extend(press.ratio.map(|ratio| format!("ratio = {ratio:?}")));
        keys.extend(press.size.map(|size| format!("size = {size}")));
        format!("{{ {} }}", keys.join(", "))
    });
    let then: Vec<String> = then.collect();
    lines.extend((!then.is_empty()).then(|| format!("then = [{}]", then.join(", "))));
    let codec = |codec: &CellCacheCodec| {
        let id = format!("codec = {}", string(&codec.codec));
        [vec![id], pairs(&codec.params)].concat().join(", ")
    };
    lines.extend(cache.key.as_ref().map(|key| format!("key = {{ {} }}", codec(key))));
    lines.extend(cache.value.as_ref().map(|value| format!("value = {{ {} }}", codec(value))));
    let overrides = cache.overrides.iter().map(|own| {
        let mut keys = vec![format!("layers = {:?}", own.layers)];
        keys.extend(own.key.as_ref().map(|key| format!("key = {{ {} }}", codec(key))));
        keys.extend(own.value.as_ref().map(|value| format!("value = {{ {} }}", codec(value))));
        format!("{{ {} }}", keys.join(", "))
    });
    let overrides: Vec<String> = overrides.collect();
    lines
        .extend((!overrides.is_empty()).then(|| format!("overrides = [{}]", overrides.join(", "))));
    for (key, tokens) in [("sinks", cache.sinks), ("recent", cache.recent)] {
        lines.extend((tokens > 0).then(|| format!("{key} = {tokens}")));
    }
    for (key, on) in [
        ("reposition", cache.reposition),
        ("cut_later_keys", cache.cut_later_keys),
        ("before_rope", cache.before_rope),
    ] {
        lines.extend(on.then(|| format!("{key} = true")));
    }
    lines.extend(cache.layers.as_ref().map(|layers| format!("layers = {layers:?}")));
    lines.join("\n")
}

/// Parameters as TOML, which has no null.
fn pairs(params: &Map<String, Value>) -> Vec<String> {
    let written = params.iter().filter(|(_, value)| !value.is_null());
    written.map(|(key, value)| format!("{} = {}", name(key), literal(value))).collect()
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
        Value::Object(map) => format!("{{ {} }}", pairs(map).join(", ")),
        // An exponent without a point, `1e-5`, is a float in TOML too.
        other => other.to_string(),
    }
}

/// Parameters in the order of their names, to compare settings with.
pub(crate) fn sorted(params: &Map<String, Value>) -> String {
    let mut pairs: Vec<String> =
        params.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.sort();
    pairs.join(" ")
}
