//! The table for a paper: LaTeX with `booktabs`.

use super::format::{bits, difference, percent, perplexity, three_digits};
use super::safe::plain;
use crate::figures::front::RULE;
use crate::{Report, Row};

const NONE: &str = "--";

impl Report {
    /// A `table` environment; cells on the front are bold. It needs `\usepackage{booktabs}`.
    #[must_use]
    pub fn latex(&self) -> String {
        let mut names = if self.models {
            vec!["Model", "bits/weight", "head bits", "GiB"]
        } else {
            vec!["Cell", "bits/value", "bytes/token"]
        };
        names.extend(["PPL", "$\\Delta$PPL", "KLD (nats)", "top-1"]);
        let floors = self.noise_floor.is_some();
        if floors {
            names.extend(["$\\Delta$PPL/floor", "KLD/floor"]);
        }
        let mut out = format!(
            "% needs \\usepackage{{booktabs}}\n\\begin{{table}}\n\\centering\n\
             \\begin{{tabular}}{{l{}}}\n\\toprule\n{} \\\\\n\\midrule\n",
            "r".repeat(names.len() - 1),
            names.join(" & ")
        );
        for row in self.rows.iter().filter(|row| row.ppl.is_some()) {
            out.push_str(&line(row, self.models, floors));
        }
        let mut notes = String::new();
        if let Some(floor) = &self.noise_floor {
            notes.push_str(&format!(
                " Noise of $2^{{-9}}$ after every layer, the floor, changes PPL by {} and makes a KLD of {}.",
                math(&three_digits(floor.ppl_delta)),
                math(&three_digits(floor.kld))
            ));
        }
        if self.rows.iter().any(|row| row.imported.is_some()) {
            notes.push_str(" $^\\dagger$Imported; bytes declared, not counted.");
        }
        out.push_str(&format!(
            "\\bottomrule\n\\end{{tabular}}\n\\caption{{{}. $\\Delta$PPL with its standard error, paired \
             by token. Bold, on the front: {RULE}.{notes}}}\n\\label{{tab:{}}}\n\\end{{table}}\n",
            escape(&self.subtitle),
            label(&self.title)
        ));
        for row in self.rows.iter().filter(|row| row.ppl.is_none()) {
            let reason = row.reason.as_deref().unwrap_or("no reason was recorded");
            let [label, reason] = [row.label.as_str(), reason].map(one_line);
            out.push_str(&format!("% failed: {label}: {reason}\n"));
        }
        out
    }
}

fn line(row: &Row, models: bool, floors: bool) -> String {
    let show = |value: Option<f64>, format: fn(f64) -> String| {
        value.map_or_else(|| NONE.to_owned(), |value| math(&format(value)))
    };
    let relative = |value: Option<f64>| value.filter(|_| !row.is_baseline());
    let delta = match (relative(row.ppl_delta), row.ppl_delta_error) {
        (Some(delta), Some(error)) => {
            let (delta, error) = difference(delta, error);
            format!("${} \\pm {}$", bare(&delta), bare(&error))
        }
        (Some(delta), None) => math(&format!("{delta:+.4}")),
        (None, _) => NONE.to_owned(),
    };
    let name = match (escape(&row.label), row.on_front) {
        (name, true) => format!("\\textbf{{{name}}}"),
        (name, false) => name,
    };
    let dagger = if row.imported.is_some() { "$^\\dagger$" } else { "" };
    let mut fields = vec![format!("{name}{dagger}")];
    if models {
        fields.extend([
            show(row.bits_per_weight, bits),
            show(row.head_bits_per_weight, bits),
            show(row.gib, |gib| format!("{gib:.3}")),
        ]);
    } else {
        fields.extend([
            show(row.bits_per_value, bits),
            show(row.bytes_per_token, |bytes| format!("{bytes:.1}")),
        ]);
    }
    fields.extend([
        show(row.ppl, perplexity),
        delta,
        show(relative(row.kld_mean), three_digits),
        show(relative(row.top1_agreement), percent).replace('%', "\\%"),
    ]);
    if floors {
        fields
            .extend([row.ppl_delta_floors, row.kld_floors].map(|units| show(units, three_digits)));
    }
    format!("{} \\\\\n", fields.join(" & "))
}

/// A number in math mode, `4.56e-7` as a power of ten.
fn math(text: &str) -> String {
    format!("${}$", bare(text))
}

fn bare(text: &str) -> String {
    match text.split_once('e') {
        Some((mantissa, power)) => {
            format!("{mantissa} \\cdot 10^{{{}}}", power.trim_start_matches('+'))
        }
        None => text.to_owned(),
    }
}

fn label(title: &str) -> String {
    title.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn one_line(text: &str) -> String {
    plain(&text.replace(['\n', '\r'], " ")).into_owned()
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in one_line(text).chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '·' => out.push_str("$\\cdot$"),
            'Δ' => out.push_str("$\\Delta$"),
            c => out.push(c),
        }
    }
    out
}
