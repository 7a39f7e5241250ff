//! Prose in lines of a width.

use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// Breaks a text between words into lines of at most `width` columns; those behind the first are indented by two more
/// than `indent`. A word that is longer than a line, such as a path, stays whole, and so does every line break.
pub fn lines(text: &str, width: usize, indent: &str) -> String {
    let behind = format!("{indent}  ");
    let options = Options::new(width)
        .initial_indent(indent)
        .subsequent_indent(&behind)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    let filled = text.split('\n').map(|line| textwrap::fill(line, &options));
    filled.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(lines("one two three", 8, ""), "one two\n  three");
        assert_eq!(lines("one two\nthree four", 9, " "), " one two\n three\n   four");
        assert_eq!(
            lines("see /a/long/path/of/a/file now", 10, ""),
            "see\n  /a/long/path/of/a/file\n  now"
        );
        assert_eq!(lines("ab \u{1b}[1mcd\u{1b}[0m ef", 9, ""), "ab \u{1b}[1mcd\u{1b}[0m ef");
    }
}
