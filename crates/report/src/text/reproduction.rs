//! A reproduction as text, at most 80 columns wide.

use super::format::{count, three_digits};
use super::lines::lines;
use super::safe::plain;
use crate::Reproduction;
use crate::figures::reproduction::{Agreeing, OtherPlugin};

/// Columns of a terminal.
const WIDTH: usize = 80;

impl Reproduction {
    /// What agrees, what differs, and the verdict.
    #[must_use]
    pub fn text(&self) -> String {
        let id = self.id.get(..12).unwrap_or(&self.id);
        let (label, experiment) = (plain(&self.label), plain(&self.experiment));
        let mut out = wrapped("", &format!("{label} of {experiment}, record {id}"));
        out.push('\n');
        if self.windows.iter().all(|&windows| windows > 0) {
            out.push_str(&self.table());
            out.push('\n');
        }
        let reason = |reason: &Option<String>| {
            reason
                .as_deref()
                .map_or_else(|| "finished".to_owned(), |why| format!("failed, {}", plain(why)))
        };
        if self.reasons.iter().any(Option::is_some) {
            let [first, again] = self.reasons.each_ref().map(reason);
            out.push_str(&wrapped("  ", &format!("recorded: {first}")));
            out.push_str(&wrapped("  ", &format!("again: {again}")));
        }
        for (key, first, again) in &self.identity {
            let [first, again] = [first, again].map(|value| plain(value));
            out.push_str(&wrapped(
                "  ",
                &format!("{}: recorded {first}, again {again}", plain(key)),
            ));
        }
        for (name, first, again) in &self.environment {
            let [first, again] = [first, again].map(|value| plain(value));
            out.push_str(&wrapped("  ", &format!("{name}: recorded {first}, again {again}")));
        }
        self.plugins.iter().for_each(|plugin| out.push_str(&plugin_text(plugin)));
        out.push_str(&wrapped("", &self.verdict()));
        out
    }

    fn table(&self) -> String {
        let header = ["", "recorded", "again", "equal", "digits", "largest"];
        let mut out = line(header.map(str::to_owned));
        for figure in &self.figures {
            out.push_str(&line(self.cells(figure)));
        }
        out
    }

    fn cells(&self, figure: &Agreeing) -> [String; 6] {
        let digits = figure.digits.map_or_else(|| "all".to_owned(), |digits| digits.to_string());
        [
            figure.name.to_owned(),
            format!("{:.9}", figure.recorded),
            format!("{:.9}", figure.again),
            format!("{}/{}", figure.equal, self.windows[0]),
            digits,
            three_digits(figure.largest),
        ]
    }

    fn verdict(&self) -> String {
        let windows = count(self.windows[0] as u64);
        let other_build =
            if self.plugins.is_empty() { "" } else { ", with other builds of its plugins" };
        if self.is_exact() {
            return match self.reasons[0] {
                None => format!("reproduced: all {windows} windows equal to the bit{other_build}"),
                Some(_) => format!("reproduced: it failed as it is recorded{other_build}"),
            };
        }
        let tolerance = three_digits(self.tolerance);
        if self.is_near() {
            return format!(
                "reproduced: every mean of all {windows} windows within {tolerance} of the record{other_build}"
            );
        }
        if self.windows[0] != self.windows[1] || self.reasons[0] != self.reasons[1] {
            let [first, again] = self.windows;
            return format!(
                "not reproduced: {first} windows are recorded, {again} came again{other_build}"
            );
        }
        if self.tolerance == 0.0 {
            format!("not reproduced: windows differ{other_build}")
        } else {
            format!("not reproduced: windows differ by more than {tolerance}{other_build}")
        }
    }
}

fn plugin_text(plugin: &OtherPlugin) -> String {
    let short = |sha256: &str| sha256.chars().take(12).collect::<String>();
    let there = if plugin.again.is_empty() {
        "which was not used here".to_owned()
    } else {
        format!("here it is {}", short(&plugin.again))
    };
    let (file, recorded) = (plain(&plugin.file), short(&plugin.recorded));
    let told = format!("{file}: recorded sha256 {recorded}, {there}; the recorded one is built by");
    wrapped("  ", &told) + &format!("    {}\n", plain(&plugin.command))
}

fn line([name, recorded, again, equal, digits, largest]: [String; 6]) -> String {
    let text = format!("{name:<16}{recorded:>16}{again:>16}{equal:>12}{digits:>8}{largest:>11}");
    format!("{}\n", text.trim_end())
}

/// Words in lines; those behind the first are indented by two more.
fn wrapped(indent: &str, text: &str) -> String {
    format!("{}\n", lines(text, WIDTH, indent))
}
