//! Which modules a configuration selects: exact names, `re:` patterns, and class names such as
//! `Linear`.

use std::path::{Path, PathBuf};

use fancy_regex::Regex;

use crate::WeightsError;

/// The class of every module with a two-dimensional weight, except embeddings.
const LINEAR: &str = "Linear";

/// One entry of `targets` or `ignore`.
#[derive(Debug)]
pub(super) enum Target {
    /// A module's name, or its class.
    Name(String),
    /// A pattern that a module's name must match from its start, as Python's `re.match` does.
    Pattern(Box<Pattern>),
}

/// A pattern with its location, for messages.
#[derive(Debug)]
pub(super) struct Pattern {
    text: String,
    compiled: Regex,
    path: PathBuf,
    key: String,
}

impl Target {
    /// Parses `text`; `key` names the location in the configuration.
    pub(super) fn parse(path: &Path, key: &str, text: &str) -> Result<Self, WeightsError> {
        let Some(pattern) = text.strip_prefix("re:") else {
            return Ok(Self::Name(text.to_owned()));
        };
        let compiled = Regex::new(&format!("^(?:{pattern})")).map_err(|reason| {
            let reason = reason.to_string();
            WeightsError::QuantizationConfig {
                path: path.to_path_buf(),
                key: key.to_owned(),
                expected: "a regular expression".to_owned(),
                found: format!("\"{text}\": {}", reason.lines().last().unwrap_or_default().trim()),
            }
        })?;
        let (path, key) = (path.to_path_buf(), key.to_owned());
        Ok(Self::Pattern(Box::new(Pattern { text: pattern.to_owned(), compiled, path, key })))
    }

    /// Whether the target selects the module named `name`.
    ///
    /// # Errors
    /// As for [`Target::rank`].
    pub(super) fn matches(&self, name: &str) -> Result<bool, WeightsError> {
        Ok(self.rank(name)?.is_some())
    }

    /// How closely the target matches the module named `name`: 0 by name, 1 by pattern, 2 by class.
    ///
    /// # Errors
    /// A pattern takes too many steps to match.
    pub(super) fn rank(&self, name: &str) -> Result<Option<u8>, WeightsError> {
        Ok(match self {
            Self::Name(target) if target == name => Some(0),
            Self::Pattern(pattern) if pattern.is_match(name)? => Some(1),
            Self::Name(target) if target == class(name) => Some(2),
            _ => None,
        })
    }

    /// The text by which targets of the same rank are ordered.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Name(text) => text,
            Self::Pattern(pattern) => &pattern.text,
        }
    }
}

impl Pattern {
    fn is_match(&self, name: &str) -> Result<bool, WeightsError> {
        self.compiled.is_match(name).map_err(|reason| WeightsError::QuantizationConfig {
            path: self.path.clone(),
            key: self.key.clone(),
            expected: format!("a regular expression that can be matched with \"{name}\""),
            found: format!("\"re:{}\": {reason}", self.text),
        })
    }
}

/// Whether one of `targets` selects the module named `name`.
///
/// # Errors
/// As for [`Target::rank`].
pub(super) fn any(targets: &[Target], name: &str) -> Result<bool, WeightsError> {
    for target in targets {
        if target.matches(name)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The PyTorch class of a module with a weight, guessed from its name because classes are not stored.
fn class(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or(name) {
        "embed_tokens" | "embed_in" | "wte" | "wpe" | "word_embeddings" | "tok_embeddings" => {
            "Embedding"
        }
        _ => LINEAR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        Target::parse(Path::new("m"), "ignore", text).unwrap()
    }

    #[test]
    fn names_patterns_and_classes_match() {
        let name = "model.layers.3.mlp.gate_proj";
        let rank = |text: &str, name: &str| target(text).rank(name).unwrap();
        assert_eq!(rank(name, name), Some(0));
        assert_eq!(rank("re:.*gate_proj$", name), Some(1));
        assert_eq!(rank("re:mlp", name), None, "matching starts at the first letter");
        assert_eq!(rank("re:x|model", name), Some(1));
        assert_eq!(rank("Linear", name), Some(2));
        assert_eq!(rank("Linear", "model.embed_tokens"), None);
        assert_eq!(rank("Embedding", "model.embed_tokens"), Some(2));
        assert!(!target("gate_proj").matches(name).unwrap());
        // Lookahead and lookbehind, as in Python.
        assert_eq!(rank("re:(?!lm_head).*", name), Some(1));
        assert_eq!(rank("re:(?!lm_head).*", "lm_head"), None);
        assert_eq!(rank(r"re:model\.layers\.(\d)\.mlp\.gate_proj(?<!up_proj)$", name), Some(1));
    }

    #[test]
    fn patterns_that_cannot_be_used_are_refused() {
        for pattern in ["re:(", "re:[z-a]"] {
            let error = Target::parse(Path::new("m"), "ignore", pattern).unwrap_err().to_string();
            let start =
                "m: quantization configuration: ignore: expected a regular expression, found \"re:";
            assert!(error.starts_with(start), "{error}");
        }
        let slow =
            target("re:(?:(a+)\\1?)+(?!a)$").rank(&"a".repeat(64)).map_err(|e| e.to_string());
        let steps = "expected a regular expression that can be matched with \"aaaa";
        assert!(slow.as_ref().is_ok_and(Option::is_some) || slow.is_err_and(|e| e.contains(steps)));
    }
}
