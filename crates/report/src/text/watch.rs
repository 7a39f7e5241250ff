//! A run that goes on, for a terminal: one line a cell.

use strait_schema::{Role, RunStatus};

use super::format::{difference, perplexity, three_digits};
use super::safe::plain;

/// The running figures in at most `width` columns.
#[must_use]
pub fn watch(status: &RunStatus, width: usize) -> String {
    let done: usize = status.cells.iter().map(|cell| cell.windows_done.min(status.windows)).sum();
    let all = status.windows * status.cells.len();
    let state = match (status.ended, status.step.is_empty()) {
        (true, _) => "ended".to_owned(),
        (false, false) => status.step.clone(),
        (false, true) => {
            let left =
                status.eta_s.map_or_else(String::new, |eta| format!(", {} left", duration(eta)));
            format!("{}%{left}", (100 * done).checked_div(all).unwrap_or(0))
        }
    };
    let mut out = cut(&format!("{}  {state}", status.experiment), width);
    out.push('\n');
    let longest = status.cells.iter().map(|cell| cell.label.chars().count()).max().unwrap_or(0);
    let label_width = longest.clamp(4, width.saturating_sub(58).max(12));
    if !status.cells.is_empty() {
        let heading = format!(
            "{:label_width$}  {:>9}  {:>9}  {:>19}  {:>9}",
            "cell", "windows", "PPL", "ΔPPL ± error", "bits/value"
        );
        out.push_str(&cut(&heading, width));
        out.push('\n');
    }
    for cell in &status.cells {
        let label = cut(&cell.label, label_width);
        let windows = format!("{}/{}", cell.windows_done, status.windows);
        let line = match (&cell.reason, &cell.figures) {
            (Some(reason), _) => {
                format!("{label:label_width$}  failed: {}", reason.replace('\n', " "))
            }
            (None, Some(figures)) => {
                let ppl = figures.ppl.map_or_else(String::new, perplexity);
                let delta = match (figures.ppl_delta, figures.ppl_delta_error) {
                    _ if cell.role == Role::Baseline => String::new(),
                    (Some(delta), Some(error)) => {
                        let (delta, error) = difference(delta, error);
                        format!("{delta} ± {error}")
                    }
                    _ => String::new(),
                };
                let bits = figures.bits_per_value.map_or_else(String::new, three_digits);
                format!("{label:label_width$}  {windows:>9}  {ppl:>9}  {delta:>19}  {bits:>9}")
            }
            (None, None) => {
                let state = if cell.finished { "finished" } else { "waiting" };
                format!("{label:label_width$}  {windows:>9}  {state:>9}")
            }
        };
        out.push_str(cut(&line, width).trim_end());
        out.push('\n');
    }
    out
}

fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds / 60 % 60),
    }
}

fn cut(text: &str, width: usize) -> String {
    let text = plain(text);
    if text.chars().count() <= width {
        return text.into_owned();
    }
    let head: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use strait_schema::{RunningCell, RunningFigures};

    use super::*;

    #[test]
    fn every_line_fits() {
        let cell =
            |label: &str, figures: Option<RunningFigures>, reason: Option<&str>| RunningCell {
                label: label.to_owned(),
                codec: "affine".to_owned(),
                windows_done: 3,
                figures,
                reason: reason.map(str::to_owned),
                ..RunningCell::default()
            };
        let figures = RunningFigures {
            ppl: Some(46.1),
            ppl_delta: Some(0.0135),
            ppl_delta_error: Some(0.009),
            bits_per_value: Some(8.125),
            ..RunningFigures::default()
        };
        let status = RunStatus {
            experiment: "quickstart".to_owned(),
            windows: 12,
            eta_s: Some(75.0),
            cells: vec![
                cell("int8 token", Some(figures), None),
                cell(&"long ".repeat(20), None, None),
                cell("bad", None, Some(&"why ".repeat(40))),
            ],
            ..RunStatus::default()
        };
        let text = watch(&status, 80);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.starts_with("quickstart  25%, 1:15 min left\n"), "{text}");
        assert!(text.contains("+0.0135 ± 0.0090       8.12"), "{text}");
        assert!(text.contains("bad") && text.contains("failed: why"), "{text}");
        let ended = RunStatus { ended: true, ..RunStatus::default() };
        assert_eq!(watch(&ended, 80), "  ended\n");
    }
}
