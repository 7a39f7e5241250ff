//! Numbers as people read them: no more digits than the measurement has.

use super::safe::plain;

/// What stands where nothing was measured.
pub(crate) const NONE: &str = "–";

/// From here on, digits before the point say nothing.
const SCIENTIFIC: f64 = 1e5;

/// An integer with thousands apart: `16,383`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A difference and its standard error with as many decimals as give the error two digits:
/// `("+0.0455", "0.0012")`. A cell that is exactly like the baseline gives `("0", "0")`.
pub(crate) fn difference(value: f64, error: f64) -> (String, String) {
    if value == 0.0 && error == 0.0 {
        return ("0".to_owned(), "0".to_owned());
    }
    if value.abs() >= SCIENTIFIC {
        return (format!("{value:+.1e}"), format!("{error:.0e}"));
    }
    // An error of 0 with a difference is one of rounding alone: six decimals show it.
    let decimals = if error > 0.0 { decimals_for(error, 2).min(6) } else { 6 };
    (format!("{value:+.decimals$}"), format!("{error:.decimals$}"))
}

/// Perplexity: `46.0870`, `2743.1`, `9.3e5`.
pub(crate) fn perplexity(value: f64) -> String {
    match value {
        value if value < 1e3 => format!("{value:.4}"),
        value if value < SCIENTIFIC => format!("{value:.1}"),
        value => format!("{value:.1e}"),
    }
}

/// A quantity that spans many powers of ten, in three digits: `0.00123`, `12.3`, `4.56e-7`.
pub(crate) fn three_digits(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(1e-4..SCIENTIFIC).contains(&size) {
        format!("{value:.2e}")
    } else {
        let decimals = decimals_for(size, 3);
        format!("{value:.decimals$}")
    }
}

/// Bits per value: two decimals, three where that is where codecs differ.
pub(crate) fn bits(value: f64) -> String {
    if value < 10.0 { format!("{value:.3}") } else { format!("{value:.2}") }
}

/// A share in percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2}%", 100.0 * share)
}

/// Decimals that show a positive number with this many significant digits.
fn decimals_for(value: f64, digits: i32) -> usize {
    let exponent = value.log10().floor();
    let exponent = if exponent.is_finite() { exponent as i32 } else { 0 };
    usize::try_from(digits - 1 - exponent).unwrap_or(0)
}

/// Lines of text in columns two spaces apart, the first `names` columns to the left and the others to the
/// right. Lines are equally long.
pub(crate) fn aligned(lines: &[Vec<String>], names: usize) -> Vec<String> {
    let shown = |line: &Vec<String>| line.iter().map(|text| plain(text).into_owned()).collect();
    let lines: Vec<Vec<String>> = lines.iter().map(shown).collect();
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let draw = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (text, &width))| {
            if column < names { format!("{text:<width$}") } else { format!("{text:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_show_two_digits_of_their_error() {
        let pair = |value, error| {
            let (value, error) = difference(value, error);
            format!("{value} ± {error}")
        };
        assert_eq!(pair(0.045_52, 0.001_234), "+0.0455 ± 0.0012");
        assert_eq!(pair(-0.000_31, 0.000_42), "-0.00031 ± 0.00042");
        assert_eq!(pair(25.8, 1.26), "+25.8 ± 1.3");
        assert_eq!(pair(5012.3, 211.0), "+5012 ± 211");
        assert_eq!(pair(931_426.0, 41_000.0), "+9.3e5 ± 4e4");
        assert_eq!(pair(0.0, 0.0), "0 ± 0");
        assert_eq!(pair(1e-9, 1e-9), "+0.000000 ± 0.000000");
    }

    #[test]
    fn numbers() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([46.087_04, 2743.12, 931_426.0].map(perplexity), ["46.0870", "2743.1", "9.3e5"]);
        assert_eq!(
            [0.0, 4.56e-7, 0.001_234, 0.0123, 12.34, 1234.5].map(three_digits),
            ["0", "4.56e-7", "0.00123", "0.0123", "12.3", "1234"]
        );
        assert_eq!([4.25, 32.0].map(bits), ["4.250", "32.00"]);
        assert_eq!(percent(0.98343), "98.34%");
    }
}
