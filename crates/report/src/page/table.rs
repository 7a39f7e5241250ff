//! The page's table: HTML that is complete before a script sorts it.

use crate::Row;
use crate::format::{NONE, bits, difference, percent, perplexity, three_digits};
use crate::page::escape;

/// Heading, explanation, and the key by which scripts know the column.
const COLUMNS: [(&str, &str, &str); 12] = [
    ("Cell", "Name of the cell; a star marks the Pareto front", "label"),
    ("Family", "The codec", "family"),
    ("Bits/value", "Payload bits divided by the values that crossed", "bits"),
    ("Bytes/token", "Payload bytes of one token on one link", "bytes"),
    ("PPL", "Perplexity of the scored tokens", "ppl"),
    ("ΔPPL", "Difference to the baseline, tokens paired", "delta"),
    ("±", "Standard error of the difference", "error"),
    ("KLD", "Mean divergence from the baseline in nats", "kld"),
    ("KLD 99 %", "99 % quantile of the divergence", "kld99"),
    ("Top-1", "Scored tokens with the same most probable token", "top1"),
    ("Enc MB/s", "Bytes of the model's dtype encoded in a second", "enc"),
    ("Dec MB/s", "Bytes of the model's dtype decoded in a second", "dec"),
];

pub(super) fn headings() -> String {
    COLUMNS
        .iter()
        .enumerate()
        .map(|(at, (name, explanation, key))| {
            let kind = if at < 2 { "text" } else { "number" };
            format!(
                "<th scope=\"col\" class=\"{kind}\"><button type=\"button\" data-sort=\"{key}\" \
                 title=\"{explanation}\">{name}</button></th>\n"
            )
        })
        .collect()
}

pub(super) fn row(at: usize, group: usize, row: &Row, families: &[String]) -> String {
    let show = |value: Option<f64>, format: fn(f64) -> String| {
        value.filter(|value| value.is_finite()).map_or_else(|| NONE.to_owned(), format)
    };
    let relative = |value: Option<f64>| value.filter(|_| !row.is_baseline());
    let delta =
        relative(row.ppl_delta).map(|delta| difference(delta, row.ppl_delta_error.unwrap_or(0.0)));
    let (delta, error) = match delta {
        Some((delta, error)) if row.ppl_delta_error.is_some() => (delta.replace('-', "−"), error),
        Some(_) => {
            (format!("{:+.4}", row.ppl_delta.unwrap_or(0.0)).replace('-', "−"), NONE.to_owned())
        }
        None => (NONE.to_owned(), NONE.to_owned()),
    };
    let rate = |value: Option<f64>| show(value, |rate| format!("{rate:.0}"));
    let numbers: [(Option<f64>, String); 10] = [
        (row.bits_per_value, show(row.bits_per_value, bits)),
        (row.bytes_per_token, show(row.bytes_per_token, |bytes| format!("{bytes:.1}"))),
        (row.ppl, row.ppl.map_or_else(|| row.state().to_owned(), perplexity)),
        (row.ppl_delta, delta),
        (row.ppl_delta_error, error),
        (row.kld_mean, show(relative(row.kld_mean), three_digits)),
        (row.kld_p99, show(relative(row.kld_p99), three_digits)),
        (row.top1_agreement, show(relative(row.top1_agreement), percent)),
        (row.encode_mb_per_s, rate(row.encode_mb_per_s)),
        (row.decode_mb_per_s, rate(row.decode_mb_per_s)),
    ];
    let mut out = format!(
        "<tr id=\"row-{at}\" data-cell=\"{at}\" data-group=\"{group}\" data-family=\"{}\" \
         class=\"{}{}\">",
        escape(&row.codec),
        row.state(),
        if row.on_front { " front" } else { "" },
    );
    let star =
        if row.on_front { "<span class=\"star\" title=\"Pareto front\">★</span>" } else { "" };
    let mark = match row.imported {
        Some(_) => "<span class=\"mark\" title=\"imported; bytes declared, not counted\">†</span>",
        None => "",
    };
    out.push_str(&format!(
        "<th scope=\"row\"><a href=\"#cell-{at}\">{}</a>{mark}{star}</th>",
        escape(&row.label)
    ));
    let color = match families.iter().position(|family| *family == row.codec) {
        Some(place) => format!("var(--f{})", place % crate::palette::COLORS.len()),
        None => "var(--ink)".to_owned(),
    };
    out.push_str(&format!(
        "<td><i class=\"swatch\" style=\"background:{color}\"></i>{}</td>",
        escape(&row.codec)
    ));
    for (value, text) in numbers {
        let value = value.filter(|value| value.is_finite());
        let key = value.map_or_else(String::new, |value| format!(" data-value=\"{value:e}\""));
        out.push_str(&format!("<td{key}>{}</td>", escape(&text)));
    }
    out.push_str("</tr>\n");
    out
}
