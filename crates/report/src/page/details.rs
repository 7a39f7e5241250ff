//! A cell's details: where its numbers come from, what each link carried, and its experiment file.

use strait_schema::{CellCache, CellKind, LinkCounts, Record};

use crate::Row;
use crate::page::{escape, params};
use crate::text::format::{count, perplexity, three_digits};

pub(super) fn of(
    at: usize,
    group: usize,
    row: &Row,
    record: Option<&Record>,
    reference: Option<&Record>,
) -> String {
    let label = escape(&row.label);
    let mut out = format!(
        "<details id=\"cell-{at}\" data-cell=\"{at}\" data-group=\"{group}\" data-family=\"{}\">\n\
         <summary>{label} <span class=\"state {state}\">{state}</span></summary>\n",
        escape(&row.codec),
        state = row.state(),
    );
    if let Some(reason) = &row.reason {
        out.push_str(&format!("<p class=\"failed\">{}</p>\n", escape(reason)));
    }
    for warning in &row.warnings {
        out.push_str(&format!("<p class=\"warning\">{}</p>\n", escape(warning)));
    }
    match record {
        Some(record) => {
            out.push_str("<div class=\"columns\">\n");
            out.push_str(&provenance(row, record, reference));
            let file = record.experiment_file(reference);
            let text = escape(&file.unwrap_or_else(|error| format!("# {error}\n")));
            out.push_str(&format!(
                "<figure><figcaption>Experiment file of this cell \
                 <button type=\"button\" class=\"copy\">Copy</button></figcaption>\
                 <pre><code>{text}</code></pre></figure>\n</div>\n"
            ));
            out.push_str(&links(&record.links, row.cached));
        }
        None => {
            let origin = row.imported.as_deref().unwrap_or("a run that has not finished");
            out.push_str(&format!("<p>From {}.</p>\n", escape(origin)));
        }
    }
    out.push_str("</details>\n");
    out
}

fn provenance(row: &Row, record: &Record, reference: Option<&Record>) -> String {
    let cell = &record.cell;
    let mut facts: Vec<(&str, String)> = vec![
        ("record", record.id.clone()),
        ("experiment", record.experiment.clone()),
        (
            "model",
            format!(
                "{} · {} · {} · {} parameters · {} layers of {}",
                cell.model.source,
                cell.model.architecture,
                cell.model.dtype.name(),
                count(cell.model.parameters),
                cell.model.layers,
                cell.model.hidden
            ),
        ),
    ];
    for (file, sha256) in &cell.model.files {
        facts.push(("model file", format!("{file} sha256:{sha256}")));
    }
    facts.extend(weights(record, reference));
    facts.push(("text", format!("{} {}", cell.data.source, cell.data.split)));
    facts.push(("text sha256", cell.data.text_sha256.clone()));
    facts.push((
        "tokens",
        format!("{} sha256:{}", count(cell.data.tokens as u64), cell.data.tokens_sha256),
    ));
    let protocol = &cell.protocol;
    facts.push((
        "protocol",
        format!(
            "{} window {} stride {}{} · fingerprint {}",
            protocol.preset.name(),
            protocol.window,
            protocol.stride,
            protocol.context.map_or_else(String::new, |context| format!(" context {context}")),
            protocol.fingerprint
        ),
    ));
    if let Some(codec) = cell.compressor() {
        facts.push(("codec", format!("{} {}", codec.codec, codec.codec_version)));
        facts.push(("parameters", params::sorted(&codec.params)));
        facts.push(("plugin", format!("{} sha256:{}", codec.plugin, codec.plugin_sha256)));
        if let Some(sha256) = &codec.artifact_sha256 {
            let bytes = count(codec.static_bytes);
            facts.push(("artifact", format!("sha256:{sha256}, {bytes} bytes on both sides")));
        }
    }
    facts.extend(cell.cache().into_iter().flat_map(cache));
    facts.push((
        "messages",
        cell.chunk_tokens.map_or("whole".to_owned(), |n| format!("chunks of {n} tokens")),
    ));
    facts.push(("seed", cell.seed.to_string()));
    let environment = &record.environment;
    facts.push(("strait", format!("{} with burn {}", environment.strait, environment.burn)));
    facts.push((
        "machine",
        format!(
            "{} · {} · device {} · {} threads",
            environment.os, environment.cpu, environment.device, environment.threads
        ),
    ));
    if let Some(ppl) = row.ppl {
        facts.push((
            "perplexity",
            format!("{} ± {}", perplexity(ppl), three_digits(row.ppl_error.unwrap_or(0.0))),
        ));
    }
    if let Some(interval) = row.ppl_delta_interval.filter(|_| !row.is_baseline()) {
        let (low, high) = (three_digits(interval.low), three_digits(interval.high));
        facts.push(("ΔPPL, 95 % of bootstrap draws", format!("{low} … {high}")));
    }
    if let Some((delta, kld)) = row.ppl_delta_floors.zip(row.kld_floors) {
        let (delta, kld) = (three_digits(delta), three_digits(kld));
        facts.push(("in noise floors", format!("ΔPPL {delta}, KLD {kld}")));
    }
    let timing = &record.timing;
    facts.push((
        "time",
        format!(
            "{:.1} s, of which {:.1} s model and {:.1} s codec",
            timing.wall_s, timing.model_s, timing.codec_s
        ),
    ));
    let facts: String = facts
        .into_iter()
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(&value)))
        .collect();
    format!("<dl>\n{facts}</dl>\n")
}

/// What the weights take, and what model or noise they are compared with.
fn weights(record: &Record, reference: Option<&Record>) -> Vec<(&'static str, String)> {
    let (cell, mut facts) = (&record.cell, Vec::new());
    if let Some(storage) = &cell.model.storage {
        let text = format!("{}, {} bytes", storage.format, count(storage.bytes));
        facts.push(("weights", text));
    }
    if let Some(kind) = cell.model.load_in {
        facts.push(("quantized on load", kind.name().to_owned()));
    }
    if let Some(id) = cell.reference() {
        let label = reference.map_or_else(String::new, |other| format!("{}, ", other.label));
        facts.push(("compared with", format!("{label}record {id}")));
    }
    if let CellKind::Noise { size } = cell.kind {
        facts.push(("noise", format!("{size} of a value, after every layer")));
    }
    facts
}

/// Press and codecs of a KV cache.
fn cache(cache: &CellCache) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let first = cache.press.as_ref();
    let first = first.map(|press| ("press", press, &cache.params, cache.ratio, cache.size));
    let then = cache.then.iter();
    let then = then.map(|press| ("then", &press.press, &press.params, press.ratio, press.size));
    for (name, press, params, ratio, size) in first.into_iter().chain(then) {
        let budget = match (ratio, size) {
            (_, Some(size)) => format!("keeps {size} tokens"),
            (ratio, None) => format!("removes {} of the tokens", ratio.unwrap_or(0.0)),
        };
        facts.push((name, format!("{press} {} · {budget}", params::sorted(params))));
    }
    let overrides = cache.overrides.iter();
    let overrides = overrides.map(|own| (Some(&own.layers), &own.key, &own.value));
    for (layers, key, value) in [(None, &cache.key, &cache.value)].into_iter().chain(overrides) {
        for (name, codec) in [("keys", key), ("values", value)] {
            if let Some(codec) = codec {
                let layers =
                    layers.map_or_else(String::new, |layers| format!("layers {layers:?} · "));
                let params = params::sorted(&codec.params);
                facts.push((name, format!("{layers}{} {params}", codec.codec)));
            }
        }
    }
    let runs = match cache.interval {
        Some(interval) => format!("runs of {interval} tokens"),
        None => "runs of the protocol".to_owned(),
    };
    let (sinks, recent) = (cache.sinks, cache.recent);
    facts.push(("cache", format!("{runs} · uncoded: first {sinks}, last {recent}")));
    for (file, sha256) in &cache.plugins {
        facts.push(("plugin", format!("{file} sha256:{sha256}")));
    }
    facts
}

fn links(links: &[LinkCounts], cached: bool) -> String {
    if links.is_empty() {
        return String::new();
    }
    let rows: String = links
        .iter()
        .map(|link| {
            let distortion = &link.distortion;
            let figure = |value: f64| match value {
                value if value.is_nan() => "–".to_owned(),
                value if value.is_infinite() => "exact".to_owned(),
                value => three_digits(value),
            };
            let cells = [
                count(link.messages),
                count(link.tokens),
                count(link.payload_bytes),
                figure(link.payload_bytes as f64 / link.tokens as f64),
                figure(distortion.mse()),
                figure(distortion.sqnr_db()),
                format!("{:.8}", distortion.cosine()),
                figure(distortion.max_abs),
            ];
            let cells: String =
                cells.iter().map(|text| format!("<td>{}</td>", escape(text))).collect();
            format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", escape(&link.name))
        })
        .collect();
    let part = if cached { "cache" } else { "link" };
    format!(
        "<div class=\"scroll\"><table class=\"links\"><thead><tr><th>{part}</th><th>messages</th>\
         <th>tokens</th><th>payload bytes</th><th>bytes/token</th><th>MSE</th><th>SQNR dB</th>\
         <th>cosine</th><th>max |error|</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )
}
