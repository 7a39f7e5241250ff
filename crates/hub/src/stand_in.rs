//! Stand-ins for a large file: the pointer that a clone without Git LFS leaves, or a web page that a server
//! sent instead of the download.

use std::fmt;

/// The most bytes from the start of a file that [`StandIn::of`] needs.
const LOOKED_AT: usize = 512;

/// Something that was saved in place of the intended file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandIn {
    /// A Git LFS pointer, with the size in bytes that it names, if any.
    LfsPointer(Option<u64>),
    /// An HTML page.
    Page,
}

impl StandIn {
    /// Recognises a stand-in from the first bytes of a file; `None` for anything else.
    #[must_use]
    pub fn of(content: &[u8]) -> Option<Self> {
        let start = &content[..content.len().min(LOOKED_AT)];
        if start.starts_with(b"version https://git-lfs.github.com/spec/") {
            let text = String::from_utf8_lossy(start);
            let size =
                text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse().ok());
            return Some(Self::LfsPointer(size));
        }
        let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
        let begins =
            |tag: &[u8]| text.get(..tag.len()).is_some_and(|found| found.eq_ignore_ascii_case(tag));
        (begins(b"<!doctype html") || begins(b"<html")).then_some(Self::Page)
    }
}

/// Describes the stand-in and says what to do about it.
impl fmt::Display for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LfsPointer(size) => {
                f.write_str("the pointer that a clone without git-lfs leaves, not the file itself")?;
                if let Some(size) = size {
                    write!(f, ", which has {size} bytes")?;
                }
                f.write_str("; fetch it with `git lfs install` and `git lfs pull` in the clone, or download the file")
            }
            Self::Page => f.write_str(
                "a web page (HTML), not the file itself: the download was answered with a page, perhaps a login or an error; \
                 download the file again",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_pages_are_recognised() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234\n";
        assert_eq!(StandIn::of(pointer), Some(StandIn::LfsPointer(Some(1234))));
        for page in ["<!DOCTYPE html>\n<html>", "\n  <html lang=\"en\">", "\u{feff}<!doctype HTML>"]
        {
            assert_eq!(StandIn::of(page.as_bytes()), Some(StandIn::Page), "{page}");
        }
        for other in ["", "{}", "GGUF", "version 2", "<htm", "<xml>"] {
            assert_eq!(StandIn::of(other.as_bytes()), None, "{other}");
        }
        let told = StandIn::LfsPointer(None).to_string();
        assert!(told.contains("git-lfs") && told.contains("git lfs pull"), "{told}");
    }
}
