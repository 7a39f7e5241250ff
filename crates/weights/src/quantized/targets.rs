//! Which modules a configuration means: exact names, `re:` patterns, and class names such as `Linear`.

use std::path::Path;

use regex::Regex;

use crate::WeightsError;

/// The class of every module with a two-dimensional weight that is no embedding.
const LINEAR: &str = "Linear";

/// One entry of `targets` or `ignore`.
#[derive(Debug)]
pub(super) enum Target {
    /// A module's name, or its class.
    Name(String),
    /// A pattern that a module's name must match from its start, as Python's `re.match` does.
    Pattern(String, Regex),
}

impl Target {
    /// Parses `text`; `key` names the place in the configuration.
    pub(super) fn parse(path: &Path, key: &str, text: &str) -> Result<Self, WeightsError> {
        let Some(pattern) = text.strip_prefix("re:") else {
            return Ok(Self::Name(text.to_owned()));
        };
        let compiled = Regex::new(&format!("^(?:{pattern})")).map_err(|reason| {
            let reason = reason.to_string();
            WeightsError::QuantizationConfig {
                path: path.to_path_buf(),
                key: key.to_owned(),
                expected: "a regular expression without look-around and back-references".to_owned(),
                found: format!("\"{text}\": {}", reason.lines().last().unwrap_or_default().trim()),
            }
        })?;
        Ok(Self::Pattern(pattern.to_owned(), compiled))
    }

    /// Whether the module named `name` is meant.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.rank(name).is_some()
    }

    /// How closely the module named `name` is meant: 0 by name, 1 by pattern, 2 by class.
    pub(super) fn rank(&self, name: &str) -> Option<u8> {
        match self {
            Self::Name(target) if target == name => Some(0),
            Self::Pattern(_, pattern) if pattern.is_match(name) => Some(1),
            Self::Name(target) if target == class(name) => Some(2),
            _ => None,
        }
    }

    /// What orders targets of the same rank.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Name(text) | Self::Pattern(text, _) => text,
        }
    }
}

/// The PyTorch class of a module with a weight, guessed from its name as classes are not stored.
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
        assert_eq!(target(name).rank(name), Some(0));
        assert_eq!(target("re:.*gate_proj$").rank(name), Some(1));
        assert_eq!(target("re:mlp").rank(name), None, "matching starts at the first letter");
        assert_eq!(target("re:x|model").rank(name), Some(1));
        assert_eq!(target("Linear").rank(name), Some(2));
        assert_eq!(target("Linear").rank("model.embed_tokens"), None);
        assert_eq!(target("Embedding").rank("model.embed_tokens"), Some(2));
        assert!(!target("gate_proj").matches(name));
    }

    #[test]
    fn patterns_that_do_not_compile_are_refused() {
        for pattern in ["re:(", "re:(?!lm_head).*", "re:[z-a]"] {
            let error = Target::parse(Path::new("m"), "ignore", pattern).unwrap_err().to_string();
            let start = "m: quantization configuration: ignore: expected a regular expression \
                         without look-around and back-references, found \"re:";
            assert!(error.starts_with(start), "{error}");
        }
    }
}
