//! Two cells on the same tokens: what one loses against the other, and whether that is more than chance.

use serde::Serialize;
use strait_metrics::{Bootstrap, Interval, NoiseFloor};
use strait_schema::{EDITED, Record, Role};

use super::pairs::{self, Loss};
use super::report::fingerprint_error;
use crate::text::format::{difference, percent, three_digits};
use crate::text::{plain, prose};
use crate::{ReportError, Row};

/// The paired differences `b − a` of two records. Whole windows are the pairs: tokens of one window depend
/// on one another, and records keep sums by window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Label of the first cell.
    pub a: String,
    /// Label of the second cell.
    pub b: String,
    /// Windows.
    pub windows: usize,
    /// Scored tokens.
    pub tokens: u64,
    /// Perplexity of the first cell.
    pub ppl_a: f64,
    /// Perplexity of the second cell.
    pub ppl_b: f64,
    /// Difference of the perplexities.
    pub ppl: Difference,
    /// Difference of the mean divergences from the baseline, in nats.
    pub kld: Difference,
    /// Difference of the shares of tokens whose most probable token is the baseline's.
    pub top1: Difference,
    /// Payload bits per value of the first cell.
    pub bits_a: Option<f64>,
    /// Payload bits per value of the second cell.
    pub bits_b: Option<f64>,
    /// Bits per weight of the first cell's decoder; `None` also if both have the same weights.
    pub bits_per_weight_a: Option<f64>,
    /// Bits per weight of the second cell's decoder.
    pub bits_per_weight_b: Option<f64>,
    /// GiB of all weights of the first cell; `None` also if both have the same weights.
    pub gib_a: Option<f64>,
    /// GiB of all weights of the second cell.
    pub gib_b: Option<f64>,
    /// The difference of the perplexities in units of the noise floor; `None` if that was not measured.
    pub ppl_floors: Option<f64>,
    /// The difference of the divergences in units of the noise floor.
    pub kld_floors: Option<f64>,
    /// Which of the two was edited or measured under several environments; empty where neither was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A difference with its error and how likely chance alone gives one as large.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// Second minus first.
    pub value: f64,
    /// Standard error over windows; `None` with fewer than two.
    pub error: Option<f64>,
    /// Two-sided probability of a difference at least as large if there were none: Student's t with as
    /// many degrees of freedom as windows but one. `None` without an error; 0.0 or 1.0 where all windows
    /// agree.
    pub p: Option<f64>,
    /// Lower end of the interval that holds 95 % of bootstrap draws of whole windows.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

impl Comparison {
    /// Compares two finished records.
    ///
    /// # Errors
    /// If their protocols differ, one has failed, or their windows do not match.
    pub fn new(a: &Record, b: &Record) -> Result<Self, ReportError> {
        if a.cell.protocol.fingerprint != b.cell.protocol.fingerprint {
            return Err(fingerprint_error(a, b));
        }
        for record in [a, b] {
            if record.scores.is_none() {
                return Err(ReportError::Failed {
                    label: record.label.clone(),
                    reason: record.reason.clone().unwrap_or_default(),
                });
            }
        }
        if !pairs::match_up(&a.windows, &b.windows) {
            return Err(ReportError::Windows {
                a: a.label.clone(),
                windows_a: a.windows.len(),
                b: b.label.clone(),
                windows_b: b.windows.len(),
            });
        }
        let tokens: u64 = a.windows.iter().map(|window| window.scored).sum();
        let mean = |record: &Record| {
            record.windows.iter().map(|window| window.sums.a).sum::<f64>() / tokens as f64
        };
        let (mean_a, mean_b) = (mean(a), mean(b));
        let log = difference_of(&pairs::differences(&a.windows, &b.windows, Loss::Likelihood));
        let (ppl_a, ppl_b) = (mean_a.exp(), mean_b.exp());
        let ppl_of = |d: f64| ppl_a * d.exp_m1();
        let ppl = Difference {
            value: ppl_of(log.value),
            error: log.error.map(|error| ppl_b * error),
            p: log.p,
            low: log.low.map(ppl_of),
            high: log.high.map(ppl_of),
        };
        let rows = [a, b].map(Row::from_record);
        let weighed = a.cell.model.storage != b.cell.model.storage;
        let [of_a, of_b] = rows.map(|row| {
            let weights = row.bits_per_weight.zip(row.gib).filter(|_| weighed);
            (row.bits_per_value, weights.map(|(bits, _)| bits), weights.map(|(_, gib)| gib))
        });
        Ok(Self {
            a: a.label.clone(),
            b: b.label.clone(),
            windows: a.windows.len(),
            tokens,
            ppl_a,
            ppl_b,
            ppl,
            kld: difference_of(&pairs::differences(&a.windows, &b.windows, Loss::Divergence)),
            top1: difference_of(&pairs::differences_of(&a.windows, &b.windows, |w| {
                w.same_top as f64
            })),
            bits_a: of_a.0,
            bits_b: of_b.0,
            bits_per_weight_a: of_a.1,
            bits_per_weight_b: of_b.1,
            gib_a: of_a.2,
            gib_b: of_b.2,
            ppl_floors: None,
            kld_floors: None,
            warnings: [a, b].into_iter().flat_map(doubts).collect(),
        })
    }

    /// Pairs the cells of two results by label and compares each pair; one record on either side is
    /// compared with it whatever its label.
    ///
    /// # Errors
    /// If no pair is found, or for the reasons of [`Comparison::new`].
    pub fn of_results(a: &[Record], b: &[Record]) -> Result<Vec<Self>, ReportError> {
        if let ([a], [b]) = (a, b) {
            return Ok(vec![Self::new(a, b)?]);
        }
        let mut out = Vec::new();
        for first in a {
            let same = |other: &&Record| b.len() == 1 || a.len() == 1 || other.label == first.label;
            for second in b.iter().filter(same) {
                if first.id != second.id && first.is_finished() && second.is_finished() {
                    let floor =
                        a.iter().chain(b).find_map(|noisy| floor_of(noisy, [first, second]));
                    out.push(Self::new(first, second)?.in_units_of(floor));
                }
            }
        }
        if out.is_empty() { Err(ReportError::NothingInCommon) } else { Ok(out) }
    }

    fn in_units_of(self, floor: Option<NoiseFloor>) -> Self {
        let ppl_floors = floor.as_ref().map(|floor| floor.ppl_units(self.ppl.value));
        let kld_floors = floor.as_ref().map(|floor| floor.kld_units(self.kld.value));
        Self { ppl_floors, kld_floors, ..self }
    }

    /// The comparisons as text. `p` is corrected for their number (Holm).
    #[must_use]
    pub fn text(comparisons: &[Self]) -> String {
        let p = holm(&comparisons.iter().map(|c| c.ppl.p.unwrap_or(1.0)).collect::<Vec<_>>());
        let mut out = String::new();
        for (comparison, p) in comparisons.iter().zip(p) {
            out.push_str(&comparison.block(p, comparisons.len() > 1));
        }
        out
    }

    fn block(&self, corrected: f64, many: bool) -> String {
        let mut out = format!("{} → {}\n", plain(&self.a), plain(&self.b));
        let (windows, tokens) = (self.windows, crate::text::format::count(self.tokens));
        out.push_str(&format!("  {tokens} tokens in {windows} windows, paired by window\n"));
        if let (Some(a), Some(b)) = (self.bits_a, self.bits_b) {
            out.push_str(&format!("  bits/value  {a:.3} → {b:.3}  ({:+.3})\n", b - a));
        }
        if let (Some(a), Some(b)) = (self.bits_per_weight_a, self.bits_per_weight_b) {
            out.push_str(&format!("  bits/weight {a:.3} → {b:.3}  ({:+.3})\n", b - a));
        }
        if let (Some(a), Some(b)) = (self.gib_a, self.gib_b) {
            out.push_str(&format!("  GiB         {a:.3} → {b:.3}  ({:+.3})\n", b - a));
        }
        let (delta, error) = difference(self.ppl.value, self.ppl.error.unwrap_or(0.0));
        out.push_str(&format!(
            "  PPL         {:.4} → {:.4}  {delta} ± {error}  {}\n",
            self.ppl_a,
            self.ppl_b,
            verdict(self.ppl)
        ));
        let (delta, error) = difference(self.kld.value, self.kld.error.unwrap_or(0.0));
        out.push_str(&format!("  KLD nats    {delta} ± {error}  {}\n", verdict(self.kld)));
        let error = self.top1.error.unwrap_or(0.0);
        out.push_str(&format!(
            "  top-1       {:+.2} ± {} points  {}\n",
            100.0 * self.top1.value,
            percent(error).trim_end_matches('%'),
            verdict(self.top1)
        ));
        if let (Some(low), Some(high)) = (self.ppl.low, self.ppl.high) {
            let (low, high) = (three_digits(low), three_digits(high));
            out.push_str(&format!(
                "  95 % of bootstrap draws of the PPL difference: {low} … {high}\n"
            ));
        }
        if let (Some(ppl), Some(kld)) = (self.ppl_floors, self.kld_floors) {
            let (ppl, kld) = (three_digits(ppl), three_digits(kld));
            out.push_str(&format!("  in units of the noise floor: PPL {ppl}, KLD {kld}\n"));
        }
        for warning in &self.warnings {
            out.push_str(&format!("  warning: {}\n", prose(warning)));
        }
        if many {
            out.push_str(&format!("  p of PPL corrected for all pairs (Holm): {corrected:.2}\n"));
        }
        out.push('\n');
        out
    }
}

/// What there is to doubt about where a record's numbers come from, under its label.
fn doubts(record: &Record) -> Vec<String> {
    let edited = record.warnings.iter().find(|warning| *warning == EDITED).cloned();
    let doubts = edited.into_iter().chain(record.mixed_environments());
    doubts.map(|doubt| format!("{}: {doubt}", record.label)).collect()
}

/// The noise floor that a record measures, if it was scored beside the baseline of both cells.
fn floor_of(noisy: &Record, cells: [&Record; 2]) -> Option<NoiseFloor> {
    let scores = noisy.scores.as_ref().filter(|_| noisy.cell.kind.role() == Role::Noise)?;
    let beside = |record: &&Record| {
        let fingerprints = [*record, noisy].map(|record| &record.cell.protocol.fingerprint);
        let baselines = [*record, noisy].map(|record| record.scores.as_ref().map(|s| s.sums.b));
        fingerprints[0] == fingerprints[1] && baselines[0] == baselines[1]
    };
    cells.iter().all(beside).then(|| NoiseFloor::new(&scores.sums, scores.kld.mean))
}

fn verdict(difference: Difference) -> String {
    match difference.p {
        None => "(no error from one window)".to_owned(),
        Some(p) if p < 1e-4 => "p < 0.0001 ***".to_owned(),
        Some(p) => {
            let stars = match p {
                p if p < 0.001 => " ***",
                p if p < 0.01 => " **",
                p if p < 0.05 => " *",
                _ => ", not significant",
            };
            format!("p = {p:.4}{stars}")
        }
    }
}

/// The difference per token of a sum over windows.
fn difference_of(each: &[(f64, f64)]) -> Difference {
    let value = pairs::mean(each.iter().copied());
    let Some(error) = pairs::error(each, value) else {
        return Difference { value, error: None, p: None, low: None, high: None };
    };
    let interval: Option<Interval> = Bootstrap::default()
        .interval(each.len(), |drawn| pairs::mean(drawn.iter().map(|&at| each[at])));
    let p = match (value, error) {
        (0.0, _) => 1.0,
        (_, 0.0) => 0.0,
        (value, error) => two_sided(value / error, each.len() as f64 - 1.0),
    };
    Difference {
        value,
        error: Some(error),
        p: Some(p),
        low: interval.map(|interval| interval.low),
        high: interval.map(|interval| interval.high),
    }
}

/// Holm's correction: sorted p times the number of hypotheses left, never decreasing.
fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&i, &j| p[i].total_cmp(&p[j]));
    let mut corrected = vec![0.0; p.len()];
    let mut largest: f64 = 0.0;
    for (rank, &at) in order.iter().enumerate() {
        largest = largest.max(p[at] * (p.len() - rank) as f64).min(1.0);
        corrected[at] = largest;
    }
    corrected
}

/// P(|T| ≥ |t|) of Student's distribution: the incomplete beta function I of ν/2 and 1/2 at ν/(ν + t²).
fn two_sided(t: f64, freedom: f64) -> f64 {
    incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t))
}

/// Regularized incomplete beta function by its continued fraction (Abramowitz and Stegun 26.5.8), which
/// converges fast below (a + 1)/(a + b + 2).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let front =
        (a * x.ln() + b * (1.0 - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp() / a;
    // Lentz's method.
    let tiny = 1e-300;
    let guard = |value: f64| if value.abs() < tiny { tiny } else { value };
    let (mut c, mut d) = (1.0, 1.0 / guard(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for m in 1..500 {
        let m = f64::from(m);
        for term in [
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        ] {
            d = 1.0 / guard(1.0 + term * d);
            c = guard(1.0 + term / c);
            fraction *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * fraction
}

/// ln Γ by Stirling's series after shifting the argument above 10.
fn ln_gamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series =
        inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)));
    shift + (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn students_t_at_its_tabulated_quantiles() {
        // Two-sided 5 % and 1 % points.
        for (freedom, t, p) in [
            (1.0, 12.706_204_736, 0.05),
            (5.0, 2.570_581_836, 0.05),
            (30.0, 2.042_272_456, 0.05),
            (19.0, 2.860_934_606, 0.01),
            (1000.0, 2.580_754_698, 0.01),
        ] {
            assert!(
                (two_sided(t, freedom) - p).abs() < 1e-8,
                "{freedom}: {}",
                two_sided(t, freedom)
            );
        }
        assert!((two_sided(0.0, 7.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn holm_never_decreases() {
        assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
        assert_eq!(holm(&[0.9]), [0.9]);
    }
}
