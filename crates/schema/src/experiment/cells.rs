//! The cells of an experiment: every compressor, and of a sweep every combination.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::lines::Lines;
use crate::{CompressorSection, Experiment, SchemaError, SideSection};

/// The label of the baseline, which every experiment has and no compressor may take.
pub const BASELINE_LABEL: &str = "baseline";

/// The label of the baseline under noise, which no compressor may take either.
pub const NOISE_FLOOR_LABEL: &str = "noise floor";

/// The swept key that is the layer before the only link where a codec works.
pub(crate) const CUT: &str = "cut";

/// The table of what the host computes for a codec, whose keys can be swept.
const SIDE: &str = "side";

/// More cells than anyone waits for; a sweep that asks for more is a slip.
const MOST_CELLS: usize = 10_000;

/// The longest label that fits a table.
const MOST_LABEL_CHARS: usize = 60;

/// The longest label that sweeps may make of one: the name of a record's file holds it, of which there are 255 bytes.
const MOST_EXPANDED_CHARS: usize = 200;

/// One cell to run besides the baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct CellSpec {
    /// Unique in the experiment.
    pub label: String,
    /// The codec's id.
    pub codec: String,
    /// Its parameters as written, one value of each swept one among them. The plugin's schema has
    /// neither checked nor completed them.
    pub params: Map<String, Value>,
    /// The links where the codec works; all if `None`.
    pub links: Option<Vec<usize>>,
    /// The layer before the only link where it works, if that is swept.
    pub cut: Option<usize>,
    /// The importances that the host computes for it.
    pub side: Option<SideSection>,
    /// The artifact of the codec's fit step, as written.
    pub artifact: Option<PathBuf>,
    /// Index of the `[[compressor]]` table that the cell comes from.
    pub compressor: usize,
    /// The line of that table.
    pub line: usize,
}

impl CellSpec {
    /// The artifact file of a link, as written but for its placeholders.
    #[must_use]
    pub fn artifact_of(&self, link: usize) -> Option<PathBuf> {
        let of_cell = self.artifact_template()?;
        Some(of_cell.to_string_lossy().replace("{link}", &link.to_string()).into())
    }

    /// The artifact file of the cell, as written but for its label: `{link}` stands for the index of a link.
    #[must_use]
    pub fn artifact_template(&self) -> Option<PathBuf> {
        let text = self.artifact.as_ref()?.to_string_lossy();
        let kept = |c: char| if c.is_alphanumeric() || c == '.' { c } else { '-' };
        let label: String = self.label.chars().map(kept).collect();
        Some(text.replace("{label}", &label).into())
    }
}

impl Experiment {
    /// Expands the sweeps. The first swept key (in alphabetical order) varies slowest.
    ///
    /// # Errors
    /// If two cells get the same label, a label names a parameter that is not there, or the sweeps
    /// make more than 10,000 cells.
    pub fn cells(&self) -> Result<Vec<CellSpec>, SchemaError> {
        let mut cells: Vec<CellSpec> = Vec::new();
        for (compressor, section) in self.compressor.iter().enumerate() {
            let path = format!("compressor[{compressor}]");
            let line = self.place(&path).line;
            for mut params in self.combinations(compressor, section)? {
                let label = self.label(&path, section, &params)?;
                let cut = self.swept_cut(compressor, section, &mut params)?;
                let side = self.side(compressor, section, &mut params)?;
                let first = cells.iter().find(|cell| cell.label == label);
                if let Some(first) = first {
                    return Err(SchemaError::DuplicateLabel {
                        at: Box::new(self.place(&format!("{path}.label"))),
                        label,
                        first_line: first.line,
                    });
                }
                if label == NOISE_FLOOR_LABEL {
                    return Err(self.value_error(
                        &format!("{path}.label"),
                        "a label other than that of the baseline under noise",
                        format!("{label:?}"),
                        None,
                    ));
                }
                if label == BASELINE_LABEL {
                    return Err(self.value_error(
                        &format!("{path}.label"),
                        "a label other than that of the baseline, which is always measured",
                        format!("{label:?}"),
                        None,
                    ));
                }
                cells.push(CellSpec {
                    label,
                    codec: section.codec.clone(),
                    params,
                    links: section.links.clone(),
                    cut,
                    side,
                    artifact: section.artifact.clone(),
                    compressor,
                    line,
                });
            }
        }
        Ok(cells)
    }

    /// The parameters of every combination of the swept values.
    fn combinations(
        &self,
        compressor: usize,
        section: &CompressorSection,
    ) -> Result<Vec<Map<String, Value>>, SchemaError> {
        let count =
            section.sweep.values().try_fold(1_usize, |n, values| n.checked_mul(values.len()));
        if count.is_none_or(|count| count > MOST_CELLS) {
            return Err(self.value_error(
                &format!("compressor[{compressor}].sweep"),
                format!("at most {MOST_CELLS} combinations"),
                count.map_or_else(|| "more than can be counted".to_owned(), |n| n.to_string()),
                None,
            ));
        }
        let mut first = section.params.clone();
        if let Some(Ok(side)) = section.side.as_ref().map(serde_json::to_value) {
            first.insert(SIDE.to_owned(), side);
        }
        let mut all = vec![first];
        for (key, values) in &section.sweep {
            let extended = all.iter().flat_map(|params| {
                values.iter().map(move |value| {
                    let mut params = params.clone();
                    insert(&mut params, key, value);
                    params
                })
            });
            all = extended.collect();
        }
        Ok(all)
    }

    /// Takes the layer that a sweep puts the codec behind out of the parameters.
    fn swept_cut(
        &self,
        compressor: usize,
        section: &CompressorSection,
        params: &mut Map<String, Value>,
    ) -> Result<Option<usize>, SchemaError> {
        if !section.sweep.contains_key(CUT) {
            return Ok(None);
        }
        let found = params.remove(CUT).unwrap_or_default();
        match found.as_u64().and_then(|cut| usize::try_from(cut).ok()) {
            Some(cut) => Ok(Some(cut)),
            None => {
                let key = Self::sweep_path(compressor, CUT);
                let expected = "layers to cut after, integers from 0";
                Err(self.value_error(&key, expected, found.to_string(), None))
            }
        }
    }

    /// Takes what the host computes for the codec out of the parameters.
    fn side(
        &self,
        compressor: usize,
        section: &CompressorSection,
        params: &mut Map<String, Value>,
    ) -> Result<Option<SideSection>, SchemaError> {
        let swept = section.sweep.keys().find(|key| key.starts_with("side."));
        if section.side.is_none() && swept.is_none() {
            return Ok(None);
        }
        let table = format!("compressor[{compressor}].{SIDE}");
        let key = swept.map_or(table.clone(), |key| Self::sweep_path(compressor, key));
        let side = params.remove(SIDE).unwrap_or_default();
        let side: SideSection = serde_json::from_value(side)
            .map_err(|error| self.value_error(&key, "keys of `side`", error.to_string(), None))?;
        match side.mistake() {
            None => Ok(Some(side)),
            Some((key, expected, found)) => {
                Err(self.value_error(&format!("{table}.{key}"), expected, found, None))
            }
        }
    }

    /// The layers that compressors are swept over, each once, rising.
    pub(crate) fn swept_cuts(&self) -> Vec<usize> {
        let swept = self.compressor.iter().filter_map(|section| section.sweep.get(CUT));
        let cuts = swept.flatten().filter_map(|cut| usize::try_from(cut.as_u64()?).ok());
        cuts.collect::<BTreeSet<usize>>().into_iter().collect()
    }

    /// The label with its `{key}` filled in, and the swept parameters it does not mention behind.
    fn label(
        &self,
        path: &str,
        section: &CompressorSection,
        params: &Map<String, Value>,
    ) -> Result<String, SchemaError> {
        let mut rest = section.label.as_deref().unwrap_or(&section.codec);
        let mut label = String::new();
        let mut mentioned: Vec<&str> = Vec::new();
        while let Some((before, after)) = rest.split_once('{') {
            let (key, after) = after.split_once('}').unwrap_or((after, ""));
            let Some(value) = get(params, key) else {
                let known: Vec<&str> = params.keys().map(String::as_str).collect();
                return Err(self.value_error(
                    &format!("{path}.label"),
                    format!("the name of a parameter in braces ({})", list(&known)),
                    format!("{{{key}}}"),
                    crate::error::nearest(key, known),
                ));
            };
            label.push_str(before);
            label.push_str(&plain(value));
            mentioned.push(key);
            rest = after;
        }
        label.push_str(rest);
        for key in section.sweep.keys().filter(|key| !mentioned.contains(&key.as_str())) {
            let value = get(params, key).map(plain).unwrap_or_default();
            label.push_str(&format!(" {key}={value}"));
        }
        self.expanded(path, label)
    }

    /// A label with its braces filled in, which must be one that could have been written: swept texts are as long as they
    /// like.
    pub(crate) fn expanded(&self, path: &str, label: String) -> Result<String, SchemaError> {
        if is_text_of(&label, MOST_EXPANDED_CHARS) {
            return Ok(label);
        }
        let expected = format!(
            "1 to {MOST_EXPANDED_CHARS} printable characters with its braces filled in and swept values behind it"
        );
        let found = format!("{} characters, {:?}", label.chars().count(), shortened(&label));
        Err(self.value_error(&format!("{path}.label"), expected, found, None))
    }

    /// The path of a swept key, for errors.
    pub(crate) fn sweep_path(compressor: usize, key: &str) -> String {
        Lines::join(&format!("compressor[{compressor}].sweep"), key)
    }
}

/// The value of a key; with dots, one in the table of an inner codec: `inner.bits`.
pub(crate) fn get<'a>(params: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((table, key)) => get(params.get(table)?.as_object()?, key),
        None => params.get(key),
    }
}

/// Sets the value of a key, in the table that its dots lead to. An inner codec that is written as
/// its id alone becomes a table.
pub(crate) fn insert(params: &mut Map<String, Value>, key: &str, value: &Value) {
    let Some((table, key)) = key.split_once('.') else {
        params.insert(key.to_owned(), value.clone());
        return;
    };
    let inside = params.entry(table).or_insert_with(|| Value::Object(Map::new()));
    if inside.is_string() {
        let codec = ("codec".to_owned(), inside.take());
        *inside = Value::Object(Map::from_iter([codec]));
    }
    if let Value::Object(inside) = inside {
        insert(inside, key, value);
    }
}

/// A value as it looks in a label: strings without quotation marks, and inner codecs as
/// `affine(bits=4)`.
pub(crate) fn plain(value: &Value) -> String {
    let Value::Object(table) = value else {
        return value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    };
    let Some(codec) = table.get("codec").and_then(Value::as_str) else {
        return value.to_string();
    };
    let others: Vec<String> = table
        .iter()
        .filter(|(key, _)| *key != "codec")
        .map(|(key, value)| format!("{key}={}", plain(value)))
        .collect();
    if others.is_empty() { codec.to_owned() } else { format!("{codec}({})", others.join(" ")) }
}

/// Whether a text can be the label of a cell.
pub(crate) fn is_label(label: &str) -> bool {
    is_text_of(label, MOST_LABEL_CHARS)
}

fn is_text_of(label: &str, most_chars: usize) -> bool {
    !label.trim().is_empty()
        && label.chars().count() <= most_chars
        && !label.chars().any(char::is_control)
}

/// What a label must be, in words.
pub(crate) fn label_rule() -> String {
    format!("1 to {MOST_LABEL_CHARS} printable characters")
}

/// The beginning of a text that may be long.
fn shortened(text: &str) -> String {
    let most = 60;
    let head: String = text.chars().take(most).collect();
    if text.chars().count() > most { head + "…" } else { head }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "this compressor writes none".to_owned() } else { names.join(", ") }
}
