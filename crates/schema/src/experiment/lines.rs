//! Where each key of a TOML file stands, so that errors found long after parsing still name a line.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Place;

/// Lines of a file's keys, by path: `model.source`, `compressor[1].params.bits`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    file: String,
    at: BTreeMap<String, usize>,
}

impl Lines {
    /// Notes the line of every key and of every element of an array.
    pub(crate) fn of(file: &str, text: &str, table: &DeTable<'_>) -> Self {
        let mut lines = Self { file: file.to_owned(), at: BTreeMap::new() };
        lines.visit_table(text, "", table);
        lines
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.at.contains_key(path)
    }

    /// The place of a key; of the nearest written parent if the key itself is not written.
    pub(crate) fn place(&self, path: &str) -> Place {
        let mut written = path;
        let line = loop {
            if let Some(&line) = self.at.get(written) {
                break line;
            }
            match written.rfind(['.', '[']) {
                Some(end) => written = &written[..end],
                None => break 1,
            }
        };
        Place { file: self.file.clone(), line, key: path.to_owned() }
    }

    /// The path of a key in a table, quoted if TOML would quote it.
    pub(crate) fn join(table: &str, key: &str) -> String {
        let bare = !key.is_empty()
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let key = if bare { key.to_owned() } else { format!("{key:?}") };
        if table.is_empty() { key } else { format!("{table}.{key}") }
    }

    /// The line of a byte offset, from 1.
    pub(crate) fn line_of(text: &str, offset: usize) -> usize {
        1 + text.bytes().take(offset).filter(|&b| b == b'\n').count()
    }

    fn visit_table(&mut self, text: &str, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = Self::join(path, key.get_ref());
            self.at.insert(path.clone(), Self::line_of(text, key.span().start));
            self.visit(text, &path, value);
        }
    }

    fn visit(&mut self, text: &str, path: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.visit_table(text, path, table),
            DeValue::Array(array) => {
                for (index, element) in array.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.at.insert(path.clone(), Self::line_of(text, element.span().start));
                    self.visit(text, &path, element);
                }
            }
            _ => {}
        }
    }
}
