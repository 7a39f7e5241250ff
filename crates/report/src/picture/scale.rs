//! The two axes: bits per value on a logarithmic scale, and the lost perplexity on one that is
//! linear around zero and logarithmic beyond, so that gains, noise and collapse fit one picture.

/// Decades of height that the linear part of the vertical axis takes on either side of zero.
const LINEAR_DECADES: f64 = 0.8;

/// From values to pixels, and the marks on the way.
pub(crate) struct Scale {
    /// The transformed range.
    range: (f64, f64),
    /// The pixels of its ends.
    pixels: (f64, f64),
    /// Largest magnitude on the linear part; `None` for a purely logarithmic scale.
    pub(crate) linear: Option<f64>,
    /// Labelled marks.
    pub(crate) ticks: Vec<(f64, String)>,
}

impl Scale {
    /// Bits per value, with some room at both ends.
    pub(crate) fn bits(values: impl Iterator<Item = f64> + Clone, pixels: (f64, f64)) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min).clamp(0.05, 64.0);
        let high = values.fold(0.0, f64::max).max(1.2 * low);
        let span = (high / low).log2();
        let range =
            (low.log2() - 0.25_f64.min(0.2 * span), high.log2() + 0.35_f64.min(0.25 * span));
        let inside = |tick: &f64| tick.log2() >= range.0 && tick.log2() <= range.1;
        let marks = [0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0];
        let mut marks: Vec<f64> = marks.into_iter().filter(inside).collect();
        if marks.len() < 4 {
            let (low, high) = (range.0.exp2(), range.1.exp2());
            let step = [4.0, 2.0, 1.0, 0.5, 0.25, 0.1, 0.05];
            let step = step.into_iter().find(|step| (high - low) / step >= 4.0).unwrap_or(0.02);
            let first = (low / step).ceil() as i64;
            let all = (first..).map(|at| at as f64 * step);
            marks = all.take_while(|&tick| tick <= high).collect();
        }
        let name = |tick: f64| (tick, ((tick * 100.0).round() / 100.0).to_string());
        let ticks = marks.into_iter().map(name).collect();
        Self { range, pixels, linear: None, ticks }
    }

    /// Positive values over powers of ten, with some room at both ends.
    pub(crate) fn log(values: impl Iterator<Item = f64> + Clone, pixels: (f64, f64)) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min).clamp(1e-30, 1e30);
        let high = values.fold(0.0, f64::max).max(2.0 * low);
        let room = 0.05 * (high / low).log2();
        let range = (low.log2() - room, high.log2() + room);
        let (first, last) = (low.log10().floor() as i32 - 1, high.log10().ceil() as i32 + 1);
        let steps: &[f64] = if last - first <= 5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let every = ((last - first) / 12 + 1).unsigned_abs() as usize;
        let ticks = (first..=last)
            .step_by(every)
            .flat_map(|power| steps.iter().map(move |step| (power, *step)))
            .map(|(power, step)| (step * 10_f64.powi(power), step, power))
            .filter(|(value, ..)| value.log2() >= range.0 && value.log2() <= range.1)
            .map(|(value, step, power)| (value, plain(step, power)))
            .collect();
        Self { range, pixels, linear: None, ticks }
    }

    /// Differences of perplexity, given as the ends of their error bars. `magnitudes` are the
    /// differences or, where larger, their errors: the smallest decides where the logarithm begins.
    pub(crate) fn loss(
        magnitudes: impl Iterator<Item = f64>,
        ends: impl Iterator<Item = f64> + Clone,
        pixels: (f64, f64),
    ) -> Self {
        let smallest = magnitudes.map(f64::abs).filter(|m| *m > 0.0).fold(f64::INFINITY, f64::min);
        let linear = if smallest.is_finite() { smallest.clamp(1e-4, 1e3) } else { 1e-2 };
        let linear = 10_f64.powf(linear.log10().floor());
        let transform = |value| symlog(value, linear);
        let low = transform(ends.clone().fold(-linear, f64::min));
        let high = transform(ends.fold(linear, f64::max));
        let room = 0.06 * (high - low);
        let range = (low - room, high + room);
        let ticks = loss_ticks(linear, range);
        Self { range, pixels, linear: Some(linear), ticks }
    }

    /// The pixel of a value.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let transformed = match self.linear {
            Some(linear) => symlog(value, linear),
            None => value.log2(),
        };
        let share = (transformed - self.range.0) / (self.range.1 - self.range.0);
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }
}

fn symlog(value: f64, linear: f64) -> f64 {
    let size = value.abs() / linear;
    let transformed = if size <= 1.0 { size } else { 1.0 + size.log10() / LINEAR_DECADES };
    LINEAR_DECADES * transformed.copysign(value)
}

/// Zero and powers of ten, thinned out to at most about a dozen.
fn loss_ticks(linear: f64, range: (f64, f64)) -> Vec<(f64, String)> {
    let decades = (range.1 - range.0).ceil().max(1.0);
    let step = (decades / 11.0).ceil().max(1.0) as i32;
    let first = linear.log10().round() as i32;
    let mut ticks = vec![(0.0, "0".to_owned())];
    for sign in [1.0, -1.0] {
        for exponent in (first..first + 40).step_by(step.unsigned_abs() as usize) {
            let value = sign * 10_f64.powi(exponent);
            let place = symlog(value, linear);
            if place >= range.0 && place <= range.1 {
                ticks.push((value, power_of_ten(sign, exponent)));
            }
        }
    }
    ticks
}

fn plain(step: f64, power: i32) -> String {
    match power {
        -4..=5 => {
            let decimals = usize::try_from(-power).unwrap_or(0);
            format!("{:.decimals$}", step * 10_f64.powi(power))
        }
        _ => format!("{step}e{power}"),
    }
}

fn power_of_ten(sign: f64, exponent: i32) -> String {
    let sign = if sign < 0.0 { "−" } else { "+" };
    let magnitude = match exponent {
        -4..=4 => {
            let decimals = usize::try_from(-exponent).unwrap_or(0);
            format!("{:.decimals$}", 10_f64.powi(exponent))
        }
        _ => format!("1e{exponent}"),
    };
    format!("{sign}{magnitude}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_axis_is_monotone_through_zero() {
        let values = [-3.0, -0.02, -0.0003, 0.0, 0.0003, 0.001, 0.5, 5000.0];
        let scale = Scale::loss(values.into_iter(), values.into_iter(), (500.0, 100.0));
        assert_eq!(scale.linear, Some(1e-4));
        let pixels = values.map(|value| scale.at(value));
        assert!(pixels.windows(2).all(|pair| pair[0] > pair[1]), "{pixels:?}");
        assert!(pixels.iter().all(|pixel| (100.0..=500.0).contains(pixel)), "{pixels:?}");
        // Continuous where the logarithm begins.
        assert!((scale.at(0.999_999e-4) - scale.at(1.000_001e-4)).abs() < 0.01);
    }

    #[test]
    fn ticks_stay_few() {
        for largest in [1e-3, 1.0, 1e3, 1e9, 1e30] {
            let ends = [-1e-4, largest];
            let scale = Scale::loss(ends.into_iter(), ends.into_iter(), (500.0, 100.0));
            assert!((3..=14).contains(&scale.ticks.len()), "{largest}: {:?}", scale.ticks);
        }
        let scale = Scale::bits([2.25, 32.0].into_iter(), (0.0, 100.0));
        let names: Vec<&str> = scale.ticks.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["2", "3", "4", "6", "8", "12", "16", "24", "32"]);
    }

    #[test]
    fn a_logarithmic_axis_has_marks_for_people() {
        let names = |values: [f64; 2]| -> Vec<String> {
            Scale::log(values.into_iter(), (0.0, 100.0)).ticks.into_iter().map(|t| t.1).collect()
        };
        assert_eq!(names([160.0, 2304.0]), ["200", "500", "1000", "2000"]);
        assert_eq!(names([2e-7, 3.0])[..4], ["1e-7", "1e-6", "1e-5", "0.0001"]);
        assert!((2..14).contains(&names([1e-20, 1e9]).len()));
    }

    #[test]
    fn nothing_but_zeros_still_has_a_range() {
        let scale = Scale::loss([0.0].into_iter(), [0.0].into_iter(), (500.0, 100.0));
        assert!((scale.at(0.0) - 300.0).abs() < 1e-9);
        let scale = Scale::bits([32.0].into_iter(), (0.0, 100.0));
        assert!((0.0..=100.0).contains(&scale.at(32.0)));
    }
}
