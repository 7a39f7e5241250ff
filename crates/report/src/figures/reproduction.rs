//! A record beside the record of a second run of its cell: which digits are the same, and what the second run had that the
//! first had not.

use serde::Serialize;
use strait_schema::{Record, WindowSums};

/// How far a cell that was run again agrees with its record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reproduction {
    /// Name of the cell.
    pub label: String,
    /// Name of its experiment.
    pub experiment: String,
    /// Identity of the record.
    pub id: String,
    /// Windows of the record, and of the second run.
    pub windows: [usize; 2],
    /// Why each of the two failed; null where it finished.
    pub reasons: [Option<String>; 2],
    /// Every figure that is compared.
    pub figures: Vec<Agreeing>,
    /// What of the identity is another: the key, and the values of record and second run.
    pub identity: Vec<(String, String, String)>,
    /// What of the environment is another: its name, and the values of record and second run.
    pub environment: Vec<(&'static str, String, String)>,
    /// Plugins that are another file than the record names.
    pub plugins: Vec<OtherPlugin>,
    /// What a window's mean may differ by: nats a token, or a share.
    pub tolerance: f64,
}

/// A figure of both runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreeing {
    /// Its name, with the unit.
    pub name: &'static str,
    /// Over all windows of the record.
    pub recorded: f64,
    /// Over all windows of the second run.
    pub again: f64,
    /// Windows in which it is the same to the bit.
    pub equal: usize,
    /// Significant digits that agree in every window; null where all do.
    pub digits: Option<u32>,
    /// The largest difference of a window's mean.
    pub largest: f64,
}

/// A plugin file that is not the one of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherPlugin {
    /// Name of the file.
    pub file: String,
    /// SHA-256 (hexadecimal) of the record's.
    pub recorded: String,
    /// SHA-256 (hexadecimal) of the file that was there.
    pub again: String,
    /// What builds the record's.
    pub command: String,
}

impl Reproduction {
    /// Compares a record with that of a second run, window by window.
    #[must_use]
    pub fn new(recorded: &Record, again: &Record, tolerance: f64) -> Self {
        let differences = recorded.cell.identity_differences(&again.cell);
        let identity = differences.into_iter().filter(|(key, ..)| !key.contains("plugin"));
        Self {
            label: recorded.label.clone(),
            experiment: recorded.experiment.clone(),
            id: recorded.id.clone(),
            windows: [recorded.windows.len(), again.windows.len()],
            reasons: [recorded.reason.clone(), again.reason.clone()],
            figures: figures(recorded, again),
            identity: identity.filter(|(key, ..)| !key.starts_with("compressor.inner")).collect(),
            environment: recorded.environment.differences(&again.environment),
            plugins: other_plugins(recorded, again),
            tolerance,
        }
    }

    /// Whether every window is the same to the bit, and a cell that failed failed again for the same reason.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.ended_alike() && self.figures.iter().all(|figure| figure.equal == self.windows[0])
    }

    /// Whether every window is as near as the tolerance asks.
    #[must_use]
    pub fn is_near(&self) -> bool {
        let near = |figure: &Agreeing| figure.largest <= self.tolerance;
        self.is_exact() || self.ended_alike() && self.figures.iter().all(near)
    }

    /// What builds a plugin as a record had it, as far as the record knows its commit.
    #[must_use]
    pub fn build_command(record: &Record, file: &str) -> String {
        let name = file.strip_suffix(".so").unwrap_or(file);
        let id = name.strip_prefix("libstrait_").unwrap_or(name).replace('_', "-");
        let build = format!("cargo xtask build-plugin {id}");
        match record.environment.commit.as_ref() {
            Some(commit) => format!("git checkout {commit} && {build}"),
            None => build,
        }
    }

    fn ended_alike(&self) -> bool {
        self.windows[0] == self.windows[1] && self.reasons[0] == self.reasons[1]
    }
}

/// A sum of a window, and what it is called.
type Sum = (&'static str, fn(&WindowSums) -> f64);

const SUMS: [Sum; 4] = [
    ("NLL, nats/token", |window| window.sums.a),
    ("baseline's NLL", |window| window.sums.b),
    ("KLD, nats/token", |window| window.kld_sum),
    ("same top-1", |window| window.same_top as f64),
];

fn figures(recorded: &Record, again: &Record) -> Vec<Agreeing> {
    let [first, second] = [recorded, again].map(|record| &record.windows);
    let mut figures = Vec::with_capacity(SUMS.len());
    for (name, sum) in SUMS {
        let pairs = || first.iter().zip(second.iter()).filter(|(a, b)| a.scored == b.scored);
        let differs = |(a, b): &(&WindowSums, &WindowSums)| sum(a).to_bits() != sum(b).to_bits();
        let off =
            |(a, b): (&WindowSums, &WindowSums)| (sum(a) - sum(b)).abs() / a.scored.max(1) as f64;
        figures.push(Agreeing {
            name,
            recorded: mean(first, sum),
            again: mean(second, sum),
            equal: pairs().filter(|pair| !differs(pair)).count(),
            digits: pairs().filter(differs).map(|(a, b)| digits(sum(a), sum(b))).min(),
            largest: pairs().map(off).fold(0.0, f64::max),
        });
    }
    figures
}

fn mean(windows: &[WindowSums], sum: fn(&WindowSums) -> f64) -> f64 {
    let scored: u64 = windows.iter().map(|window| window.scored).sum();
    windows.iter().map(sum).sum::<f64>() / scored as f64
}

/// Significant digits in which two different numbers agree.
fn digits(a: f64, b: f64) -> u32 {
    let relative = (a - b).abs() / a.abs().max(b.abs());
    // A double has 17 digits at most; numbers of different signs have none in common.
    (-relative.log10()).floor().clamp(0.0, 17.0) as u32
}

/// The plugins of both cells that have one name and are not one file.
fn other_plugins(recorded: &Record, again: &Record) -> Vec<OtherPlugin> {
    let mut there = again.cell.plugins();
    // A record of an earlier release knows plugins of inner codecs by the ids of these.
    there.extend(again.cell.compressor().into_iter().flat_map(|codec| codec.inner.clone()));
    let other = |(file, recorded_sha): (String, String)| {
        let found = there.get(&file).cloned().unwrap_or_default();
        let command = Reproduction::build_command(recorded, &file);
        (found != recorded_sha).then_some(OtherPlugin {
            file,
            recorded: recorded_sha,
            again: found,
            command,
        })
    };
    recorded.cell.plugins().into_iter().filter_map(other).collect()
}

#[cfg(test)]
mod tests {
    use super::digits;

    #[test]
    fn digits_are_those_that_two_numbers_share() {
        assert_eq!(digits(1.0, 1.1), 1);
        assert_eq!(digits(12345.678, 12345.679), 7);
        assert_eq!(digits(1.0, 1.0 + f64::EPSILON), 15);
        assert_eq!(digits(0.0, 1e-300), 0);
        assert_eq!(digits(-1.0, 1.0), 0);
    }
}
