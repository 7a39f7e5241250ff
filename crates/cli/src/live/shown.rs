//! Which cells have a line where there are more cells than lines, and what stands in it.

use strait_runner::CellProgress;

/// The cells that have a line.
pub(super) struct Shown {
    /// The cell of each line, and when it last had news.
    lines: Vec<(usize, u64)>,
    news: u64,
}

impl Shown {
    /// The first cells, as many as there are lines.
    pub(super) fn new(cells: usize, lines: usize) -> Self {
        Self { lines: (0..cells.min(lines)).map(|cell| (cell, 0)).collect(), news: 0 }
    }

    /// The line of a cell, if it has one.
    pub(super) fn has(&self, cell: usize) -> Option<usize> {
        self.lines.iter().position(|(shown, _)| *shown == cell)
    }

    /// The line of a cell that has news. One without takes that of a cell which is over, or which has had no news for
    /// the longest time; never that of the baseline, the first cell. `None` if the baseline has the only line.
    pub(super) fn line_of(&mut self, cell: usize, over: impl Fn(usize) -> bool) -> Option<usize> {
        self.news += 1;
        let line = self.has(cell).or_else(|| {
            let others = self.lines.iter().enumerate().filter(|(_, (shown, _))| *shown != 0);
            let oldest = others.min_by_key(|(_, (shown, last))| (!over(*shown), *last));
            oldest.map(|(line, _)| line)
        })?;
        self.lines[line] = (cell, self.news);
        Some(line)
    }
}

/// As many figures as fit into `room` columns, the ones that decide first.
pub(super) fn figures(cell: usize, p: &CellProgress, room: usize) -> String {
    let mut all = if cell == 0 {
        vec![format!("PPL {:.4}", p.ppl)]
    } else {
        let change = format!("ΔPPL {:>+8.4} ±{:<6.4}", p.ppl_delta, p.ppl_delta_error);
        vec![format!("KLD {:<7.4}", p.kld_mean), change]
    };
    if !p.bytes_per_token.is_nan() {
        all.push(format!("{:.2} bits", p.bits_per_value));
        all.push(format!("{:.1} B/token", p.bytes_per_token));
    }
    if cell != 0 {
        all.push(format!("PPL {:.4}", p.ppl));
    }
    let mut out = String::new();
    for figure in all {
        let gap = if out.is_empty() { "" } else { "  " };
        if console::measure_text_width(&out) + gap.len() + console::measure_text_width(&figure)
            > room
        {
            break;
        }
        out.push_str(gap);
        out.push_str(&figure);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_take_the_line_of_who_is_over_or_silent_and_never_that_of_the_baseline() {
        let mut shown = Shown::new(120, 4);
        let none_over = |_: usize| false;
        assert_eq!([0, 1, 2, 3].map(|cell| shown.has(cell)), [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(shown.line_of(2, none_over), Some(2));
        // 1 and 3 have had no news; then 3 is the only one; then 2 was the first of all.
        assert_eq!(shown.line_of(50, none_over), Some(1));
        assert_eq!(shown.line_of(51, none_over), Some(3));
        assert_eq!(shown.line_of(52, none_over), Some(2));
        assert_eq!(shown.line_of(53, |cell| cell == 51), Some(3));
        assert_eq!((shown.has(0), shown.has(51), shown.has(53)), (Some(0), None, Some(3)));
        assert_eq!(Shown::new(120, 1).line_of(7, none_over), None);
    }

    #[test]
    fn what_decides_fits_beside_label_and_bar_in_80_columns() {
        let progress = CellProgress {
            windows_done: 3,
            scored: 1536,
            nll: 3.1,
            ppl: 22.079_6,
            ppl_delta: 0.0512,
            ppl_delta_error: 0.0141,
            kld_mean: 0.0014,
            payload_bytes: 1,
            tokens: 1,
            messages: 1,
            bytes_per_token: 630.0,
            bits_per_value: 8.75,
        };
        let narrow = figures(1, &progress, 80 - 22 - 6 - 2);
        assert_eq!(narrow, "KLD 0.0014   ΔPPL  +0.0512 ±0.0141  8.75 bits");
        let wide = figures(1, &progress, 120);
        assert_eq!(wide, format!("{narrow}  630.0 B/token  PPL 22.0796"));
        assert_eq!(figures(0, &progress, 20), "PPL 22.0796");
        let no_links = CellProgress { bytes_per_token: f64::NAN, ..progress };
        assert_eq!(figures(0, &no_links, usize::MAX), "PPL 22.0796");
    }
}
