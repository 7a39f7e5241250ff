//! `strait plan`: which cut and which codec take the least time per token on a network.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use serde_json::json;
use strait_report::{Choice, Network, Planner, Stated, lines};

use crate::commands::report::load;
use crate::commands::run::columns_of_terminal;
use crate::output::{columns, say};

/// Which records, and what the network and the nodes are like.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Results folders or single records of one model and protocol.
    #[arg(required = true)]
    results: Vec<PathBuf>,
    /// Mbit/s of each link, in the order of the cuts; one for all.
    #[arg(long, value_name = "MBIT", value_delimiter = ',', required = true)]
    bandwidth: Vec<f64>,
    /// Milliseconds of a round trip on each link; one for all.
    #[arg(long, value_name = "MS", value_delimiter = ',', default_value = "0")]
    rtt: Vec<f64>,
    /// The largest loss of perplexity.
    #[arg(long, value_name = "PPL", default_value_t = 0.1)]
    max_delta_ppl: f64,
    /// Tokens of a prompt.
    #[arg(long, value_name = "TOKENS", default_value_t = 512)]
    prompt: usize,
    /// Milliseconds that a layer takes for a token of a prompt, on each node;
    /// as measured where the records were made by default.
    #[arg(long, value_name = "MS", value_delimiter = ',')]
    layer_ms: Vec<f64>,
    /// The same for a token that is generated; as for a prompt by default.
    #[arg(long, value_name = "MS", value_delimiter = ',')]
    decode_layer_ms: Vec<f64>,
    /// Lines of the table; 0 shows all.
    #[arg(long, default_value_t = 20)]
    top: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the choices and the fastest of them.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { bandwidth, rtt, layer_ms, decode_layer_ms, .. } = arguments;
    if let Some(found) = bandwidth.iter().find(|mbit| !(**mbit > 0.0 && mbit.is_finite())) {
        bail!("--bandwidth: expected Mbit/s above 0, found {found}");
    }
    let times = [rtt, layer_ms, decode_layer_ms];
    if let Some(found) = times.into_iter().flatten().find(|ms| !(**ms >= 0.0 && ms.is_finite())) {
        bail!("--rtt, --layer-ms, --decode-layer-ms: expected milliseconds, found {found}");
    }
    let network =
        Network { bandwidth: bandwidth.clone(), round_trip: rtt.clone(), prompt: arguments.prompt };
    let stated = Stated { layer_ms: layer_ms.clone(), decode_layer_ms: decode_layer_ms.clone() };
    let planner = Planner::new(&load(&arguments.results)?.records)?;
    let choices = planner.choices(&network, &stated, arguments.max_delta_ppl)?;
    let decode = &choices[0];
    let prefill = choices.iter().min_by(|a, b| a.prefill_ms.total_cmp(&b.prefill_ms));
    let prefill = prefill.unwrap_or(decode);
    if arguments.json {
        let plan = json!({ "prefill": prefill, "decode": decode, "choices": choices });
        say(&serde_json::to_string_pretty(&plan)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let most = if arguments.top == 0 { choices.len() } else { arguments.top };
    let mut shown: Vec<&Choice> = choices.iter().take(most).collect();
    for extra in choices.iter().filter(|c| *c == prefill || c.label == "uncompressed") {
        if !shown.contains(&extra) && (extra == prefill || extra.cuts == decode.cuts) {
            shown.push(extra);
        }
    }
    let mut parts = vec![table(&shown)];
    if choices.len() > shown.len() {
        let left = choices.len() - shown.len();
        parts.push(format!("{left} slower ones are not shown; --top 0 shows all"));
    }
    parts.push(format!(
        "prompt:   {}\ngenerate: {}",
        sentence(prefill, prefill.prefill_ms),
        sentence(decode, decode.decode_ms)
    ));
    if shown.iter().any(|choice| choice.on_front) {
        let rule = "* no other cell as fast to generate has a KLD lower by more than the error of their paired \
                    difference";
        parts.push(lines(rule, columns_of_terminal(), ""));
    }
    if layer_ms.is_empty() {
        parts.push(format!(
            "compute as measured: {:.4} ms for a layer and token on every node",
            planner.measured_layer_ms()
        ));
    }
    if shown.iter().any(|choice| !choice.decode_measured) {
        parts.push("~ bytes and codec time of a prompt: no run with chunk_tokens = 1".to_owned());
    }
    say(&parts.join("\n\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn table(choices: &[&Choice]) -> String {
    let header = [
        "  cell",
        "cut after",
        ">ΔPPL",
        ">bytes/token",
        ">prompt ms/token",
        ">generate ms/token",
        ">pays below Mbit/s",
    ];
    let rows = choices.iter().map(|choice| {
        let mark = if choice.decode_measured { "" } else { "~" };
        [
            format!("{} {}", if choice.on_front { "*" } else { " " }, choice.label),
            cuts(choice),
            format!(">{:+.4}", choice.ppl_delta),
            format!(">{:.1}", choice.prefill_bytes),
            format!(">{:.3}", choice.prefill_ms),
            format!(">{mark}{:.3}", choice.decode_ms),
            format!(">{}", choice.break_even_mbit.map_or("–".to_owned(), |m| format!("{m:.0}"))),
        ]
    });
    columns(&std::iter::once(header.map(str::to_owned)).chain(rows).collect::<Vec<_>>())
}

fn sentence(choice: &Choice, ms: f64) -> String {
    format!("{}, cut after {}: {ms:.3} ms for a token", choice.label, cuts(choice))
}

fn cuts(choice: &Choice) -> String {
    choice.cuts.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}
