//! Who is called, and for what purpose.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The cell of an experiment that a codec or press works for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CellName {
    /// Identity of the cell.
    pub id: String,
    /// Name of the cell in tables.
    pub label: String,
}

/// The owner of a function that is called. It lives as long as the process, because a signal
/// handler or another thread may read it during the call or just after it.
#[derive(Debug)]
pub(crate) struct Callee {
    /// Plugin and codec or press, as messages name them.
    pub(crate) place: String,
    /// Plugin and codec or press, followed by the cell.
    pub(crate) words: String,
    /// Identity of the cell.
    pub(crate) cell: Option<String>,
}

/// The purpose of a call into a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CallKind {
    /// The system's loader runs the file's constructors, and the host looks up its functions.
    Load = 1,
    /// The plugin receives the host's services.
    Start,
    /// The plugin says what it offers.
    Describe,
    /// An instance is opened.
    Open,
    /// An artifact is made.
    Fit,
    /// A payload is bounded.
    PayloadBytes,
    /// A message is encoded.
    Encode,
    /// A payload is decoded.
    Decode,
    /// A sequence begins.
    Reset,
    /// An instance is dropped.
    Drop,
    /// A press reports which side information it needs.
    Needs,
    /// A press chooses what stays of a layer.
    Press,
    /// An instance is told where its matrices lie.
    Place,
}

impl Callee {
    /// The callee with these names; equal names give the same callee. `offer` names a codec or
    /// press, such as "codec `raw`"; it is empty while the file itself is loaded.
    pub(crate) fn of(plugin: &str, offer: &str, cell: Option<&CellName>) -> &'static Callee {
        type Key = (String, String, Option<CellName>);
        static KNOWN: Mutex<Option<HashMap<Key, &'static Callee>>> = Mutex::new(None);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (plugin.to_owned(), offer.to_owned(), cell.cloned());
        known.get_or_insert_default().entry(key).or_insert_with(|| {
            let mut place = format!("plugin {plugin}");
            if !offer.is_empty() {
                place += &format!(", {offer}");
            }
            let mut words = place.clone();
            if let Some(cell) = cell {
                words += &format!(", cell {:?}", cell.label);
            }
            let cell = cell.map(|cell| cell.id.clone());
            Box::leak(Box::new(Callee { place, words, cell }))
        })
    }
}

impl CallKind {
    const ALL: [CallKind; 13] = [
        CallKind::Load,
        CallKind::Start,
        CallKind::Describe,
        CallKind::Open,
        CallKind::Fit,
        CallKind::PayloadBytes,
        CallKind::Encode,
        CallKind::Decode,
        CallKind::Reset,
        CallKind::Drop,
        CallKind::Needs,
        CallKind::Press,
        CallKind::Place,
    ];

    /// The kind with this number; `None` for 0, which is no call, and for numbers of later
    /// versions.
    pub(crate) fn of_number(number: u32) -> Option<CallKind> {
        CallKind::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// The name of the call as it appears in messages.
    pub const fn name(self) -> &'static str {
        match self {
            CallKind::Load => "load",
            CallKind::Start => "start",
            CallKind::Describe => "describe",
            CallKind::Open => "open",
            CallKind::Fit => "fit",
            CallKind::PayloadBytes => "payload_bytes",
            CallKind::Encode => "encode",
            CallKind::Decode => "decode",
            CallKind::Reset => "reset",
            CallKind::Drop => "drop",
            CallKind::Needs => "needs",
            CallKind::Press => "press",
            CallKind::Place => "place",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_names_are_one_callee() {
        let cell = CellName { id: "ab".to_owned(), label: "a\u{1b}[2J".to_owned() };
        let callee = Callee::of("x.so", "codec `c`", Some(&cell));
        assert!(std::ptr::eq(callee, Callee::of("x.so", "codec `c`", Some(&cell))));
        assert_eq!(callee.words, "plugin x.so, codec `c`, cell \"a\\u{1b}[2J\"");
        assert_eq!(Callee::of("x.so", "", None).words, "plugin x.so");
    }

    #[test]
    fn numbers_are_read_back() {
        for (number, kind) in (1..).zip(CallKind::ALL) {
            assert_eq!(CallKind::of_number(number), Some(kind));
        }
        assert_eq!(CallKind::of_number(0), None);
        assert_eq!(CallKind::of_number(14), None);
    }
}
