//! How the rows of a data set become one text.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::named;

/// How the rows of a data set become one text. It changes the token stream, so results under different rules
/// do not compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Join {
    /// A blank line (`"\n\n"`) between all rows, empty rows kept.
    #[default]
    BlankLine,
    /// A line break (`"\n"`) between all rows.
    Line,
    /// A blank line between the rows that are not empty.
    NonEmptyBlankLine,
    /// Every row a line of a file, an empty row as `" \n"`: WikiText's rows give its published
    /// `wiki.test.raw` byte for byte.
    Lines,
    /// A space between all rows (GPTQ's evaluation on C4).
    Space,
}

named!(
    Join,
    "join",
    BlankLine = "blank-line",
    Line = "line",
    NonEmptyBlankLine = "non-empty-blank-line",
    Lines = "lines",
    Space = "space",
);

impl Join {
    /// One text of all rows.
    #[must_use]
    pub fn apply(self, rows: &[String]) -> String {
        match self {
            Self::BlankLine => rows.join("\n\n"),
            Self::Line => rows.join("\n"),
            Self::Space => rows.join(" "),
            Self::NonEmptyBlankLine => {
                let kept: Vec<&str> =
                    rows.iter().map(String::as_str).filter(|row| !is_blank(row)).collect();
                kept.join("\n\n")
            }
            Self::Lines => rows.iter().fold(String::new(), |mut text, row| {
                text.push_str(if row.is_empty() { " " } else { row });
                if !row.ends_with('\n') {
                    text.push('\n');
                }
                text
            }),
        }
    }

    /// Whether rows of nothing but white space stay in the text.
    #[must_use]
    pub fn keeps_empty_rows(self) -> bool {
        self != Self::NonEmptyBlankLine
    }
}

/// Python's `row.strip() == ""`, which the published token streams come from: it also strips the
/// four information separators, which Rust's `trim` does not.
fn is_blank(row: &str) -> bool {
    row.chars().all(|c| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let rows = ["", " = A = \n", "\u{1c} \n", "b"].map(str::to_owned);
        assert_eq!(Join::BlankLine.apply(&rows), "\n\n = A = \n\n\n\u{1c} \n\n\nb");
        assert_eq!(Join::Line.apply(&rows), "\n = A = \n\n\u{1c} \n\nb");
        assert_eq!(Join::NonEmptyBlankLine.apply(&rows), " = A = \n\n\nb");
        assert_eq!(Join::Lines.apply(&rows), " \n = A = \n\u{1c} \nb\n");
        assert_eq!(Join::Space.apply(&rows[1..]), " = A = \n \u{1c} \n b");
        assert_eq!(Join::Line.apply(&[]), "");
    }

    #[test]
    fn names_are_those_of_the_experiment_file() {
        for &join in Join::ALL {
            let toml_name = serde_json::to_value(join).unwrap();
            assert_eq!(toml_name, join.name());
            assert_eq!(join.name().parse::<Join>().unwrap(), join);
        }
        let error = "rows".parse::<Join>().unwrap_err().to_string();
        assert!(error.contains("blank-line, line, non-empty-blank-line, lines, space"), "{error}");
    }
}
