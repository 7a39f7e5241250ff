//! `strait devices`: what models can run on here, and what brings what is missing.

use std::process::ExitCode;

use serde_json::{Value, json};
use strait_model::{ModelError, open_device};
use strait_nvidia::{Machine, NvidiaError, Remedy};

use crate::output::{columns, say};

/// Columns that the text takes at most, as wide as a terminal is at least.
const WIDTH: usize = 80;
/// Columns for a card's name: the table has the others.
const NAME: usize = 36;

/// How to print the list.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One line of the table.
struct Row {
    device: String,
    name: String,
    capability: Option<String>,
    memory_bytes: Option<u64>,
    /// Why it cannot be used, and what to do about it.
    problem: Option<(String, Option<Remedy>)>,
}

/// Tries every device and prints the list.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let machine = strait_nvidia::machine();
    let rows = rows(machine);
    if arguments.json {
        say(&serde_json::to_string_pretty(&value(machine, &rows))?)?;
    } else {
        say(&text(machine, &rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(machine: &Result<Machine, NvidiaError>) -> Vec<Row> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let row = |device: &str, name: String| {
        let device = device.to_owned();
        Row { device, name, capability: None, memory_bytes: None, problem: None }
    };
    let mut rows = vec![
        row("cpu", format!("the CPU, {threads} threads")),
        row("cpu:plain", "plain operations, for checks: slow".to_owned()),
    ];
    let Ok(machine) = machine else { return rows };
    rows.extend(machine.cards.iter().map(|card| {
        let device = format!("cuda:{}", card.index);
        let problem = match machine.card(card.index) {
            Err(error) => Some((error.to_string(), Some(error.remedy()))),
            // Only a kernel that ran shows that kernels run.
            Ok(_) => match open_device(&device) {
                Ok(_) => None,
                Err(ModelError::DeviceMissing { reason, .. }) => Some((reason, None)),
                Err(error) => Some((error.to_string(), None)),
            },
        };
        Row {
            device,
            name: card.name.clone(),
            capability: Some(card.capability.to_string()),
            memory_bytes: Some(card.memory_bytes),
            problem,
        }
    }));
    rows
}

fn text(machine: &Result<Machine, NvidiaError>, rows: &[Row]) -> String {
    let mut parts = vec![table(rows)];
    match machine {
        Err(error) => parts.push(problem("A GPU", &error.to_string(), Some(&error.remedy()))),
        Ok(machine) => parts.push(toolkit(machine)),
    }
    // What is missing is often missing for all cards.
    let mut told: Vec<&(String, Option<Remedy>)> = Vec::new();
    for reason in rows.iter().filter_map(|row| row.problem.as_ref()) {
        if told.contains(&reason) {
            continue;
        }
        told.push(reason);
        let with_it = rows.iter().filter(|row| row.problem.as_ref() == Some(reason));
        let names: Vec<&str> = with_it.map(|row| row.device.as_str()).collect();
        parts.push(problem(&names.join(", "), &reason.0, reason.1.as_ref()));
    }
    parts.join("\n\n")
}

fn table(rows: &[Row]) -> String {
    let header = ["device", "name", ">capability", ">memory", "usable"].map(str::to_owned);
    let line = |row: &Row| {
        let memory = row.memory_bytes.map(|bytes| format!("{:.1} GB", bytes as f64 / 1e9));
        [
            row.device.clone(),
            console::truncate_str(&row.name, NAME, "…").into_owned(),
            format!(">{}", row.capability.as_deref().unwrap_or_default()),
            format!(">{}", memory.unwrap_or_default()),
            if row.problem.is_none() { "yes" } else { "no" }.to_owned(),
        ]
    };
    columns(&std::iter::once(header).chain(rows.iter().map(line)).collect::<Vec<_>>())
}

/// What kernels are compiled with.
fn toolkit(machine: &Machine) -> String {
    let mut lines = vec![["driver".to_owned(), format!("CUDA {}", machine.driver)]];
    if let Ok(toolkit) = &machine.toolkit {
        let file = toolkit.file.as_ref().map(|file| format!(", {}", file.display()));
        let compiler = format!("CUDA {}{}", toolkit.compiler, file.unwrap_or_default());
        lines.push(["NVRTC".to_owned(), compiler]);
        lines.push(["headers".to_owned(), toolkit.root.join("include").display().to_string()]);
    }
    columns(&lines)
}

fn problem(names: &str, reason: &str, remedy: Option<&Remedy>) -> String {
    let said = fold(&format!("{names} cannot be used: {reason}."), "", "");
    match remedy {
        None => said,
        Some(Remedy::Advice(advice)) => format!("{said}\n\n{}", fold(advice, "  ", "")),
        // The line goes on, so that what is copied is one command.
        Some(Remedy::Command(command)) => format!("{said}\n\n{}", fold(command, "  ", " \\")),
    }
}

/// Breaks text between words, each line with `start` before it and each but the last of a broken one
/// with `end` behind it.
fn fold(text: &str, start: &str, end: &str) -> String {
    let folded = text.lines().map(|line| fold_line(line, start, end));
    folded.collect::<Vec<_>>().join("\n")
}

fn fold_line(text: &str, start: &str, end: &str) -> String {
    let mut done = String::new();
    let mut line = start.to_owned();
    for word in text.split(' ') {
        let bare = line.len() == start.len();
        let columns = console::measure_text_width(&line) + 1 + console::measure_text_width(word);
        if !bare && columns + end.len() > WIDTH {
            done.push_str(&line);
            done.push_str(end);
            done.push('\n');
            line = start.to_owned();
        } else if !bare {
            line.push(' ');
        }
        line.push_str(word);
    }
    done + &line
}

fn value(machine: &Result<Machine, NvidiaError>, rows: &[Row]) -> Value {
    let device = |row: &Row| {
        let (reason, remedy) = row.problem.as_ref().map_or((None, None), |(reason, remedy)| {
            (Some(reason), remedy.as_ref().map(ToString::to_string))
        });
        json!({
            "device": row.device,
            "name": row.name,
            "capability": row.capability,
            "memory_bytes": row.memory_bytes,
            "usable": row.problem.is_none(),
            "reason": reason,
            "remedy": remedy,
        })
    };
    let devices: Vec<Value> = rows.iter().map(device).collect();
    let nvidia = match machine {
        Err(error) => {
            json!({"reason": error.to_string(), "remedy": error.remedy().to_string()})
        }
        Ok(machine) => {
            let toolkit = machine.toolkit.as_ref().ok();
            json!({
                "driver": machine.driver.to_string(),
                "nvrtc": toolkit.map(|toolkit| toolkit.compiler.to_string()),
                "headers": toolkit.map(|toolkit| toolkit.root.join("include").display().to_string()),
            })
        }
    };
    json!({"devices": devices, "nvidia": nvidia})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_stays_one_command() {
        let command = "python3 -m pip install nvidia-cuda-nvrtc-cu12~=12.8.0 \
                       nvidia-cuda-runtime-cu12~=12.8.0 nvidia-cuda-nvcc-cu12~=12.8.0";
        let folded = fold(command, "  ", " \\");
        assert_eq!(folded.lines().count(), 2);
        assert!(
            folded.lines().all(|line| line.len() <= WIDTH && line.starts_with("  ")),
            "{folded}"
        );
        let words = folded.replace(" \\\n", "");
        assert_eq!(words.split_whitespace().collect::<Vec<_>>().join(" "), command);
        assert_eq!(fold("a b", "", ""), "a b");
    }
}
