//! Text from outside: labels, reasons, warnings and names of files come from experiment files, plugins and other programs.
//! It is shown, never obeyed.

use std::borrow::Cow;

/// Text in which everything that a terminal or a reader's eye would obey stands as its code (`\\u{1b}`): control
/// characters, line breaks among them, what turns the direction of writing, and what has no width.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(shown(text, &[]))
}

/// As [`plain`], with line breaks kept: prose such as an error with its hint. Later lines are indented, so that none of
/// them looks like a line of the program's own.
pub fn prose(text: &str) -> String {
    let lines: Vec<Cow<'_, str>> = text.trim_end().split('\n').map(plain).collect();
    let mut out = lines[0].to_string();
    for line in &lines[1..] {
        out.push_str(if line.starts_with("  ") { "\n" } else { "\n  " });
        out.push_str(line);
    }
    out
}

/// As [`plain`], with line breaks and tabs kept: text as a model writes it.
pub fn verbatim(text: &str) -> String {
    shown(text, &['\n', '\t'])
}

/// Text with codes for what would be obeyed, but for the letters of `kept`.
fn shown(text: &str, kept: &[char]) -> String {
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_obeyed(c) && !kept.contains(&c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a terminal or a reader's eye would obey a character instead of showing it.
pub(crate) fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::{plain, prose, verbatim};

    #[test]
    fn what_would_be_obeyed_is_shown() {
        assert_eq!(plain("a é 中 👩‍🚀 ±"), "a é 中 👩‍🚀 ±");
        assert_eq!(plain("\u{1b}[2Ja\r\nb\u{9b}1m"), "\\u{1b}[2Ja\\u{d}\\u{a}b\\u{9b}1m");
        assert_eq!(plain("\u{202e}txt\u{2066}"), "\\u{202e}txt\\u{2066}");
        assert_eq!(prose("why\n  hint: so\n\u{7}x\n"), "why\n  hint: so\n  \\u{7}x");
        assert_eq!(prose(""), "");
        assert_eq!(verbatim("a\tb\nc\u{1b}[2J\r"), "a\tb\nc\\u{1b}[2J\\u{d}");
    }
}
