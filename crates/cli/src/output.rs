//! Standard output: text that may go into a pipe, and columns that line up.

use std::borrow::Cow;
use std::io::{ErrorKind, Write};

use strait_loader::Guard;
use strait_report::plain;

/// Writes `text` and a line break. A reader that has seen enough (`strait … | head`) ends the
/// program quietly.
///
/// # Errors
/// When standard output cannot be written for another reason, such as a full disk.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Guard::leave(0),
        result => Ok(result?),
    }
}

/// Rows with columns as wide as their widest cell, one a line. A cell with the alignment mark `>`
/// at its start is set to the right, without the mark. Cells are text from outside, so that a terminal
/// shows what it would obey.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let rows: Vec<[Cow<'_, str>; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| plain(cell))).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| console::measure_text_width(bare(&row[column])));
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| match cell.strip_prefix('>') {
            Some(text) => format!("{text:>width$}"),
            None => format!("{cell:width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn bare(cell: &str) -> &str {
    cell.strip_prefix('>').unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn numbers_stand_to_the_right() {
        let row = |name: &str, value: &str| [name.to_owned(), value.to_owned()];
        let table = columns(&[row("name", ">bits"), row("a longer one", ">4.5"), row("b", "x")]);
        assert_eq!(table, "name          bits\na longer one   4.5\nb             x");
        assert_eq!(columns(&[row("a\u{1b}[2J", "b")]), "a\\u{1b}[2J  b");
    }
}
