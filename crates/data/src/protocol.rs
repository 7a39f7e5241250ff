//! Evaluation protocols: how a token stream is cut into windows and which tokens are scored.
//!
//! Perplexities from different protocols differ by more than most codecs do, so each published one
//! is a named preset, reproduced to the last position.

use serde::{Deserialize, Serialize};

use strait_vocabulary::{Bos, Join, Preset, named};

use crate::{DataError, Fingerprint, Specials, Text, TokenStream, Tokenizer, Window, sets};

/// Default of [`Protocol::context`].
const CONTEXT: usize = 2048;

/// What to do with the end of the stream, where no whole window fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tail {
    /// A shorter last window contains it.
    Ragged,
    /// It is dropped.
    Drop,
    /// It is dropped, and so is a window that would end with the stream, because exllamav3 counts
    /// `range(0, n − window, stride)`.
    DropLast,
}

named!(Tail, "tail rule", Ragged = "ragged", Drop = "drop", DropLast = "drop-last");

/// Which tokens of a window are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scored {
    /// The targets that no earlier window contained. Every token but the first is scored exactly once.
    New,
    /// All targets but the first. Where windows overlap, a token is scored several times.
    All,
    /// The targets predicted from position ⌊window / 2⌋ on.
    SecondHalf,
    /// The targets after the context and the first token following it, which the context alone predicts.
    AfterContext,
}

named!(
    Scored,
    "scoring rule",
    New = "new",
    All = "all",
    SecondHalf = "second-half",
    AfterContext = "after-context",
);

/// A protocol with every field resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocol {
    /// The preset it started from.
    pub preset: Preset,
    /// Tokens in a window.
    pub window: usize,
    /// Tokens from the start of one window to the start of the next.
    pub stride: usize,
    /// Tokens of a window before the scored ones, under [`Scored::AfterContext`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
    /// Number of windows after which to stop; `None` for all.
    pub max_windows: Option<usize>,
    /// Number of tokens used from the start of the text; `None` for all.
    pub first_k_tokens: Option<usize>,
    /// Where the beginning token is placed.
    pub bos: Bos,
    /// Which tokens are scored.
    pub scored: Scored,
    /// What happens to the end of the stream.
    pub tail: Tail,
}

/// How rows of the text `source` are joined under a preset: as the published evaluations on that set join
/// them if they agree (C4), otherwise as the preset's source does.
#[must_use]
pub fn join_of(preset: Preset, source: &str) -> Join {
    let of_set = sets::find(source).and_then(|set| set.join);
    of_set.unwrap_or(match preset {
        Preset::Exl3 => Join::NonEmptyBlankLine,
        Preset::HfStride | Preset::Gptq | Preset::PrefillSuffix => Join::BlankLine,
        Preset::Llamacpp => Join::Lines,
    })
}

impl Protocol {
    /// The protocol as it was published.
    #[must_use]
    pub fn published(preset: Preset) -> Self {
        let (window, stride, max_windows) = match preset {
            Preset::HfStride => (2048, 512, None),
            Preset::Gptq => (2048, 2048, None),
            Preset::Exl3 => (2048, 512, Some(20)),
            Preset::Llamacpp => (512, 512, None),
            Preset::PrefillSuffix => (CONTEXT + 512, CONTEXT + 512, None),
        };
        let (bos, scored, tail) = match preset {
            Preset::HfStride => (Bos::Tokenizer, Scored::New, Tail::Ragged),
            Preset::Gptq => (Bos::Tokenizer, Scored::All, Tail::Drop),
            Preset::Exl3 => (Bos::Tokenizer, Scored::All, Tail::DropLast),
            Preset::Llamacpp => (Bos::EachWindow, Scored::SecondHalf, Tail::Drop),
            Preset::PrefillSuffix => (Bos::Tokenizer, Scored::AfterContext, Tail::Drop),
        };
        let context = (preset == Preset::PrefillSuffix).then_some(CONTEXT);
        let first_k_tokens = None;
        Self { preset, window, stride, context, max_windows, first_k_tokens, bos, scored, tail }
    }

    /// A preset with another window or stride. Where the preset's windows do not overlap, the
    /// stride follows the window.
    #[must_use]
    pub fn new(preset: Preset, window: Option<usize>, stride: Option<usize>) -> Self {
        let mut protocol = Self::published(preset);
        let adjoining = protocol.stride == protocol.window;
        protocol.window = window.unwrap_or(protocol.window);
        let default = if adjoining { protocol.window } else { protocol.stride };
        protocol.stride = stride.unwrap_or(default);
        protocol
    }

    /// Checks the fields for consistency.
    ///
    /// # Errors
    /// The field that is out of range.
    pub fn check(&self) -> Result<(), DataError> {
        let out_of_range = |key, section, found, expected| {
            Err(DataError::OutOfRange { key, section, found, expected })
        };
        let smallest = if self.scored == Scored::SecondHalf { 3 } else { 2 };
        if self.window < smallest {
            let expected = format!("at least {smallest}, or there is nothing to predict");
            return out_of_range("window", "[protocol]", self.window, expected);
        }
        if let Some(context) = self.context.filter(|&context| context + 2 > self.window) {
            let most = self.window.saturating_sub(2);
            let expected =
                format!("at most {most}, so that {} tokens have scores behind it", self.window);
            return out_of_range("context", "[protocol]", context, expected);
        }
        if self.stride == 0 || self.stride > self.window {
            let expected = format!("1 to {}, the window", self.window);
            return out_of_range("stride", "[protocol]", self.stride, expected);
        }
        if self.max_windows == Some(0) {
            let expected = "at least 1, or no such key for all windows".to_owned();
            return out_of_range("max_windows", "[protocol]", 0, expected);
        }
        if let Some(k @ 0..2) = self.first_k_tokens {
            let expected = "at least 2, or no such key for all tokens".to_owned();
            return out_of_range("first_k_tokens", "[data]", k, expected);
        }
        Ok(())
    }

    /// Whether special tokens that are spelled out in the text are parsed as such, as Transformers does.
    /// llama.cpp's `perplexity` treats them as text, and under its preset the whole text is read as it
    /// reads it.
    #[must_use]
    pub fn parses_specials(&self) -> bool {
        self.preset != Preset::Llamacpp
    }

    /// Encodes a text according to the BOS rule and keeps the first `first_k_tokens`. Under preset
    /// `llamacpp`, one line break at the end of the text is omitted, as llama.cpp does with a file. A
    /// text that begins with the beginning token does not get a second one.
    ///
    /// # Errors
    /// A field out of range, or a text that the tokenizer cannot encode.
    pub fn tokenize(&self, text: &str, tokenizer: &Tokenizer) -> Result<TokenStream, DataError> {
        self.check()?;
        let text = match self.preset {
            Preset::Llamacpp => text.strip_suffix('\n').unwrap_or(text),
            _ => text,
        };
        let specials = Specials { added: self.bos != Bos::Never, parsed: self.parses_specials() };
        let mut encoded = tokenizer.encode_spans(text, specials)?;
        if specials.added {
            encoded.merge_beginning(tokenizer.bos_id());
        }
        let stream = TokenStream::new(encoded, self.first_k_tokens, tokenizer.bos_id());
        if let Some(k) = self.first_k_tokens.filter(|&k| k > stream.total) {
            log::warn!(
                "first_k_tokens = {k}, but the text has {} tokens: all are used",
                stream.total
            );
        }
        Ok(stream)
    }

    /// The windows over a stream of `n_tokens` tokens, of which the first `first_k_tokens` count.
    /// `bos_id` is the tokenizer's, for [`Bos::EachWindow`].
    ///
    /// # Errors
    /// A field out of range, or a stream too short for the preset.
    pub fn windows(&self, n_tokens: usize, bos_id: Option<u32>) -> Result<Vec<Window>, DataError> {
        self.check()?;
        let n = self.first_k_tokens.map_or(n_tokens, |k| k.min(n_tokens));
        let needed = self.needed_tokens();
        if n < needed {
            return Err(self.too_short(n, n < n_tokens, needed));
        }
        let starts = (0..n).step_by(self.stride).take_while(|&begin| match self.tail {
            // The previous window has not reached the end of the stream.
            Tail::Ragged => begin == 0 || begin - self.stride + self.window < n,
            Tail::Drop => begin + self.window <= n,
            Tail::DropLast => begin + self.window < n,
        });
        let window = |(index, begin): (usize, usize)| {
            let end = begin.saturating_add(self.window).min(n);
            let score_from = match self.scored {
                Scored::New if begin > 0 => (begin - self.stride + self.window).max(begin + 1),
                Scored::New | Scored::All => begin + 1,
                Scored::SecondHalf => begin + self.window / 2 + 1,
                Scored::AfterContext => begin + self.context.unwrap_or(0) + 1,
            };
            let bos = bos_id.filter(|_| self.bos == Bos::EachWindow);
            Window { index, begin, end, score_from, bos }
        };
        let all = starts.enumerate().map(window).take(self.max_windows.unwrap_or(usize::MAX));
        // A ragged last window may be too short to contain a target.
        Ok(all.filter(|window| window.score_from < window.end).collect())
    }

    /// Identifies text, tokens, windows and scored positions: all that a score depends on besides the
    /// model.
    #[must_use]
    pub fn fingerprint(
        &self,
        text: &Text,
        stream: &TokenStream,
        windows: &[Window],
    ) -> Fingerprint {
        Fingerprint::new(self, text, stream, windows)
    }

    fn needed_tokens(&self) -> usize {
        match (self.preset, self.tail) {
            // llama.cpp rejects shorter streams.
            (Preset::Llamacpp, _) => self.window.saturating_mul(2),
            (_, Tail::Ragged) if self.scored == Scored::SecondHalf => self.window / 2 + 2,
            (_, Tail::Ragged) => 2,
            (_, Tail::Drop) => self.window,
            (_, Tail::DropLast) => self.window.saturating_add(1),
        }
    }

    fn too_short(&self, found: usize, cut: bool, needed: usize) -> DataError {
        let largest = match (self.preset, self.tail) {
            (Preset::Llamacpp, _) => found / 2,
            (_, Tail::DropLast) => found.saturating_sub(1),
            (_, Tail::Ragged | Tail::Drop) => found,
        };
        let text = if cut { "raise `first_k_tokens` in [data]" } else { "use a longer text" };
        let hint = if self.tail == Tail::Ragged || largest < 3 {
            text.to_owned()
        } else {
            format!("{text}, or set `window` in [protocol] to at most {largest}")
        };
        let (preset, window) = (self.preset.name(), self.window);
        DataError::TooShort { found, cut, preset, window, needed, hint }
    }
}
