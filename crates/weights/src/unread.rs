//! What a checkpoint stores and nothing reads.
//!
//! Dropping a tensor or key that changes the arithmetic gives the numbers of another model, without any sign of
//! it. So nothing stored may go unread: what the model did not request is an error, unless a list here says why
//! it may be left out, or the experiment names it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::{Checkpoint, WeightsError};

/// Number of kinds of unread names that a message lists.
const MOST_LISTED: usize = 4;

/// Something stored that nothing reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// A tensor's name, or a key's path such as `quantization_config.bits`.
    pub name: String,
    /// Type and shape of a tensor, or the value of a key.
    pub about: String,
}

/// What a model reads from a checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Names of the tensors.
    pub tensors: HashSet<String>,
    /// Number of decoder blocks.
    pub layers: usize,
    /// Number of blocks stored after those, which predict further tokens.
    pub further: usize,
    /// Keys of the configuration that change the arithmetic and that the model does not know.
    pub keys: Vec<Unread>,
}

/// A name that may go unread.
#[derive(Debug)]
pub(crate) struct Harmless {
    /// The name; in names of tensors, `*` stands for any letters.
    pub(crate) name: &'static str,
    pub(crate) because: &'static str,
}

impl Harmless {
    pub(crate) const fn new(name: &'static str, because: &'static str) -> Self {
        Self { name, because }
    }
}

const ROTARY: &str = "frequencies of the rotary positions, which follow from the configuration";
const MASK: &str = "the causal mask, a constant";
const TOWER: &str = "what brings images or sound into the model; text does not go through it";
const FURTHER: &str = "predicts further tokens; the next one does not depend on it";
const CACHE_SCALE: &str = "a scale of a quantized KV cache, which is not simulated: weights only";

/// Tensors that no model here reads.
pub(crate) const TENSORS: &[Harmless] = &[
    Harmless::new("*rotary_emb.inv_freq", ROTARY),
    Harmless::new("*.masked_bias", MASK),
    Harmless::new("h.*.attn.bias", MASK),
    Harmless::new("transformer.h.*.attn.bias", MASK),
    Harmless::new("h.*.attn.attention.bias", MASK),
    Harmless::new("transformer.h.*.attn.attention.bias", MASK),
    Harmless::new("layers.*.attention.bias", MASK),
    Harmless::new("gpt_neox.layers.*.attention.bias", MASK),
    Harmless::new("vision_tower.*", TOWER),
    Harmless::new("model.vision_tower.*", TOWER),
    Harmless::new("vision_model.*", TOWER),
    Harmless::new("model.vision_model.*", TOWER),
    Harmless::new("visual.*", TOWER),
    Harmless::new("model.visual.*", TOWER),
    Harmless::new("multi_modal_projector.*", TOWER),
    Harmless::new("model.multi_modal_projector.*", TOWER),
    Harmless::new("model.connector.*", TOWER),
    Harmless::new("image_newline", TOWER),
    Harmless::new("model.image_newline", TOWER),
    Harmless::new("audio_tower.*", TOWER),
    Harmless::new("model.audio_tower.*", TOWER),
    Harmless::new("mtp.*", FURTHER),
    Harmless::new("*.k_scale", CACHE_SCALE),
    Harmless::new("*.v_scale", CACHE_SCALE),
    Harmless::new("*.kv_scale", CACHE_SCALE),
    Harmless::new("*.q_scale", CACHE_SCALE),
    Harmless::new("*.prob_scale", CACHE_SCALE),
];

impl Checkpoint {
    /// Rejects a configuration with more decoder blocks than the checkpoint has, before memory is allocated for
    /// them.
    ///
    /// # Errors
    /// Both numbers of blocks.
    pub fn check_layers(&self) -> Result<(), WeightsError> {
        let (Some((key, said)), found) = (self.layers_said(), self.layers()) else { return Ok(()) };
        if said <= found as u64 {
            return Ok(());
        }
        Err(WeightsError::Invalid {
            path: self.path().to_path_buf(),
            what: format!("{key} of the configuration"),
            expected: format!("{found}, as many layers as the checkpoint has"),
            found: said.to_string(),
        })
    }

    /// Rejects what is stored and read by nothing, except what one of the patterns `ignore` matches; in a
    /// pattern, `*` stands for any letters.
    ///
    /// # Errors
    /// What is unread, or a pattern that matches nothing unread.
    pub fn check_unread(&self, reading: &Reading, ignore: &[String]) -> Result<(), WeightsError> {
        let mut unread = self.unread_tensors(reading);
        unread.extend(self.unread_keys().iter().chain(&reading.keys).cloned());
        if let Some(pattern) =
            ignore.iter().find(|pattern| !unread.iter().any(|thing| matches(pattern, &thing.name)))
        {
            return Err(WeightsError::NothingIgnored {
                path: self.path().to_path_buf(),
                pattern: pattern.clone(),
            });
        }
        unread.retain(|thing| !ignore.iter().any(|pattern| matches(pattern, &thing.name)));
        let beyond = |thing: &Unread| {
            crate::accounting::layer_of(&thing.name).is_some_and(|layer| layer >= reading.layers)
        };
        let layers = unread
            .iter()
            .any(beyond)
            .then(|| (reading.layers, self.layers()))
            .filter(|(said, found)| said < found);
        refuse(self.path(), &unread, layers)
    }

    /// Tensors that are neither in `reading`, nor were read when the checkpoint was opened, nor are harmless.
    fn unread_tensors(&self, reading: &Reading) -> Vec<Unread> {
        let mut unread = Vec::new();
        for info in self.tensor_infos() {
            let name = info.name.as_str();
            if reading.tensors.contains(name) || self.read_on_opening(name) {
                continue;
            }
            let layer = crate::accounting::layer_of(name);
            let further = reading.layers..reading.layers + reading.further;
            if layer.is_some_and(|layer| further.contains(&layer)) {
                log::debug!("{name} is not read: {FURTHER}");
                continue;
            }
            if let Some(because) = self.harmless(name) {
                log::debug!("{name} is not read: {because}");
                continue;
            }
            let about = format!("{} {:?}", info.format, info.shape);
            unread.push(Unread { name: name.to_owned(), about });
        }
        unread
    }

    /// Why a tensor may go unread.
    fn harmless(&self, name: &str) -> Option<&'static str> {
        if let Some(harmless) = TENSORS.iter().find(|harmless| matches(harmless.name, name)) {
            return Some(harmless.because);
        }
        // AutoGPTQ gives every module a bias, whether or not its model has one.
        let zeros =
            || self.tensor(name).is_ok_and(|bias| bias.data.iter().all(|&value| value == 0.0));
        (name.ends_with(".bias") && zeros()).then_some("a bias of zeros, which changes nothing")
    }

    /// The number of decoder blocks for which there are tensors.
    fn layers(&self) -> usize {
        let layers = self.tensor_infos().filter_map(|info| crate::accounting::layer_of(&info.name));
        layers.max().map_or(0, |last| last.saturating_add(1))
    }

    /// The number of decoder blocks in the configuration, and its key.
    fn layers_said(&self) -> Option<(&'static str, u64)> {
        let config = self.config();
        let text = config.get("text_config").filter(|text| text.is_object()).unwrap_or(config);
        ["num_hidden_layers", "n_layer"]
            .into_iter()
            .find_map(|key| Some((key, text.get(key)?.as_u64()?)))
    }
}

/// The error for `unread`, unless it is empty; `layers` are those of the configuration and of the checkpoint,
/// if they differ.
fn refuse(
    path: &Path,
    unread: &[Unread],
    layers: Option<(usize, usize)>,
) -> Result<(), WeightsError> {
    if unread.is_empty() {
        return Ok(());
    }
    let mut kinds: BTreeMap<String, Vec<&Unread>> = BTreeMap::new();
    for thing in unread {
        kinds.entry(kind(&thing.name)).or_default().push(thing);
    }
    let listed = kinds.iter().take(MOST_LISTED).map(|(kind, things)| match things.as_slice() {
        [one] => format!("{} ({})", shorten(&one.name), shorten(&one.about)),
        several => format!("{} {} ({})", several.len(), shorten(kind), shorten(&several[0].about)),
    });
    let mut found = listed.collect::<Vec<_>>().join(", ");
    if kinds.len() > MOST_LISTED {
        found.push_str(&format!(" and {} other kinds", kinds.len() - MOST_LISTED));
    }
    let first = kinds.iter().next();
    let pattern = first.map_or("", |(kind, things)| match things.as_slice() {
        [one] => one.name.as_str(),
        _ => kind.as_str(),
    });
    Err(WeightsError::Unread {
        path: path.to_path_buf(),
        found,
        layers: layers.map_or_else(String::new, |(said, found)| {
            format!("; the configuration says {said} layers, the checkpoint has {found}")
        }),
        pattern: shorten(pattern),
    })
}

/// A name with every number replaced by `*`.
fn kind(name: &str) -> String {
    let part = |part: &str| match part.bytes().all(|byte| byte.is_ascii_digit()) {
        true if !part.is_empty() => "*".to_owned(),
        _ => part.to_owned(),
    };
    name.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// A text from a file, shortened to about a hundred letters, with nothing that a terminal would interpret.
fn shorten(text: &str) -> String {
    const MOST: usize = 100;
    let shown: String = text
        .chars()
        .take(MOST)
        .map(|letter| if letter.is_control() { '\u{fffd}' } else { letter })
        .collect();
    if text.chars().nth(MOST).is_some() { format!("{shown}…") } else { shown }
}

/// Whether `name` matches `pattern`, in which `*` stands for any letters.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|start| name.strip_prefix(start)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((end, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_letters() {
        for (pattern, name) in [
            ("a.b", "a.b"),
            ("*", ""),
            ("*", "a.b"),
            ("a.*.bias", "a.7.q.bias"),
            ("*.k_scale", "x.k_scale"),
            ("*a*a", "aa"),
            ("mtp.*", "mtp.x.y"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("a.b", "a.bc"), ("a.*.bias", "a.bias"), ("*a*a", "a"), ("a*", "ba"), ("", "a")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn kinds_leave_numbers_out() {
        assert_eq!(
            kind("model.layers.12.mlp.experts.3.w1.bias"),
            "model.layers.*.mlp.experts.*.w1.bias"
        );
        assert_eq!(kind("a..b2"), "a..b2");
    }

    #[test]
    fn messages_stay_short() {
        let unread: Vec<Unread> = (0..100_000)
            .map(|n| Unread { name: format!("k{n}\u{1b}[31m"), about: "x".repeat(5000) })
            .collect();
        let message = refuse(Path::new("m"), &unread, None).unwrap_err().to_string();
        assert!(message.len() < 1500 && !message.contains('\u{1b}'), "{message}");
        assert!(message.contains(" and 99996 other kinds"), "{message}");
    }
}
