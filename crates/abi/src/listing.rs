//! The listing of a plugin file: the ids of its codecs and presses, as text that the host reads from
//! the file before any of its code runs, so that only the files that an experiment uses are loaded.

/// Start of the name of the exported listing static; the crate's name follows. Since ABI 1.2.
pub const LISTING_SYMBOL_PREFIX: &str = "STRAIT_PLUGIN_LISTING_";

const CODEC: &str = "codec ";
const PRESS: &str = "press ";

/// The ids of a file, in the order of its description. As text one line each, `codec raw`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Ids of the codecs.
    pub codecs: Vec<String>,
    /// Ids of the presses.
    pub presses: Vec<String>,
}

impl Listing {
    /// Reads the bytes of the static; `None` when they are not text of whole lines. A line of a kind
    /// that this version does not know is left out, so that a later minor may add some.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if !text.is_empty() && !text.ends_with('\n') {
            return None;
        }
        let ids = |kind: &str| -> Vec<String> {
            text.lines().filter_map(|line| line.strip_prefix(kind)).map(str::to_owned).collect()
        };
        Some(Listing { codecs: ids(CODEC), presses: ids(PRESS) })
    }
}

/// Bytes of the listing of these ids.
pub const fn listing_length(codecs: &[&str], presses: &[&str]) -> usize {
    lines_length(CODEC, codecs) + lines_length(PRESS, presses)
}

/// The listing of these ids, of [`listing_length`] bytes.
pub const fn listing<const LENGTH: usize>(codecs: &[&str], presses: &[&str]) -> [u8; LENGTH] {
    let bytes = [0; LENGTH];
    let (bytes, next) = write_lines(bytes, 0, CODEC, codecs);
    write_lines(bytes, next, PRESS, presses).0
}

const fn lines_length(kind: &str, ids: &[&str]) -> usize {
    let (mut length, mut i) = (0, 0);
    while i < ids.len() {
        length += kind.len() + ids[i].len() + 1;
        i += 1;
    }
    length
}

/// Writes a line for each id from `next` on; returns the bytes and the place behind them.
const fn write_lines<const LENGTH: usize>(
    mut bytes: [u8; LENGTH],
    mut next: usize,
    kind: &str,
    ids: &[&str],
) -> ([u8; LENGTH], usize) {
    let mut i = 0;
    while i < ids.len() {
        (bytes, next) = write(bytes, next, kind);
        (bytes, next) = write(bytes, next, ids[i]);
        (bytes, next) = write(bytes, next, "\n");
        i += 1;
    }
    (bytes, next)
}

const fn write<const LENGTH: usize>(
    mut bytes: [u8; LENGTH],
    next: usize,
    text: &str,
) -> ([u8; LENGTH], usize) {
    let text = text.as_bytes();
    let mut i = 0;
    while i < text.len() {
        bytes[next + i] = text[i];
        i += 1;
    }
    (bytes, next + text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_made_at_compile_time_is_read_back() {
        const CODECS: &[&str] = &["raw", "kv.int8"];
        const PRESSES: &[&str] = &["knorm"];
        static LISTING: [u8; listing_length(CODECS, PRESSES)] = listing(CODECS, PRESSES);
        assert_eq!(&LISTING, b"codec raw\ncodec kv.int8\npress knorm\n");
        let read = Listing::read(&LISTING).unwrap();
        assert_eq!(
            (read.codecs, read.presses),
            (vec!["raw".into(), "kv.int8".into()], vec!["knorm".into()])
        );
    }

    #[test]
    fn a_later_kind_is_left_out_and_other_bytes_are_refused() {
        let read = Listing::read(b"codec a\nscheduler b\n").unwrap();
        assert_eq!((read.codecs.as_slice(), read.presses.len()), (&["a".to_owned()][..], 0));
        assert_eq!(Listing::read(b""), Some(Listing::default()));
        assert_eq!(Listing::read(b"codec a"), None);
        assert_eq!(Listing::read(b"\xff\n"), None);
    }
}
