//! Converts tokens to text one by one: a character that several tokens share appears with the last of
//! them.

use std::collections::VecDeque;

use crate::{DataError, Tokenizer};

/// Fewest tokens before the first new one that are decoded with it, because some tokenizers omit the
/// space at the start of a text.
const CONTEXT: usize = 8;
/// Stands for bytes that do not form a complete character.
const INCOMPLETE: char = '\u{FFFD}';

/// Spells tokens that arrive one by one. Special tokens are omitted.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    tokens: Vec<u32>,
    /// Number of tokens that have been spelled. It stops where a character ends, because a text that
    /// began within a character would be spelled differently.
    spelt: usize,
    ends: VecDeque<usize>,
}

impl<'a> TextStream<'a> {
    /// Begins after `before`, which is not spelled.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, before: &[u32]) -> TextStream<'a> {
        let mut tokens = &before[before.len().saturating_sub(CONTEXT)..];
        let broken = |tokens| {
            let text = tokenizer.decode(tokens);
            text.is_ok_and(|text| text.starts_with(INCOMPLETE))
        };
        while !tokens.is_empty() && broken(tokens) {
            tokens = &tokens[1..];
        }
        let (spelt, tokens) = (tokens.len(), tokens.to_vec());
        TextStream { tokenizer, tokens, spelt, ends: VecDeque::from([spelt]) }
    }

    /// Adds a token and returns the text that it completes, which may be empty.
    ///
    /// # Errors
    /// When the tokenizer cannot spell the token.
    pub fn push(&mut self, token: u32) -> Result<String, DataError> {
        self.tokens.push(token);
        self.rest(false)
    }

    /// The remaining text when no more tokens come: a replacement character for an incomplete one.
    ///
    /// # Errors
    /// When the tokenizer cannot spell the tokens.
    pub fn finish(mut self) -> Result<String, DataError> {
        self.rest(true)
    }

    fn rest(&mut self, last: bool) -> Result<String, DataError> {
        let before = self.tokenizer.decode(&self.tokens[..self.spelt])?;
        let all = self.tokenizer.decode(&self.tokens)?;
        let text = all.get(before.len()..).unwrap_or_default();
        if text.is_empty() || text.ends_with(INCOMPLETE) && !last {
            return Ok(String::new());
        }
        let text = text.to_owned();
        self.spelt = self.tokens.len();
        self.ends.push_back(self.spelt);
        while let Some(&end) = self.ends.front().filter(|end| self.spelt - **end >= CONTEXT) {
            self.ends.pop_front();
            self.tokens.drain(..end);
            self.spelt -= end;
            self.ends.iter_mut().for_each(|later| *later -= end);
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tokenizer in which every byte is a token.
    fn bytes() -> Tokenizer {
        let vocab: Vec<String> =
            (0..256).map(|byte| format!("\"<0x{byte:02X}>\": {byte}")).collect();
        let json = format!(
            "{{\"version\": \"1.0\", \"added_tokens\": [], \"normalizer\": null, \
             \"pre_tokenizer\": null, \"post_processor\": null, \
             \"decoder\": {{\"type\": \"Sequence\", \"decoders\": [{{\"type\": \"ByteFallback\"}}, \
             {{\"type\": \"Fuse\"}}]}}, \
             \"model\": {{\"type\": \"BPE\", \"byte_fallback\": true, \"unk_token\": null, \
             \"vocab\": {{{}}}, \"merges\": []}}}}",
            vocab.join(", ")
        );
        Tokenizer::from_json(&json, "bytes").unwrap()
    }

    #[test]
    fn characters_appear_whole_and_nothing_is_lost() {
        let tokenizer = bytes();
        let text = "naïve 日本 🦀!";
        let before: Vec<u32> = "before: é".bytes().map(u32::from).collect();
        let mut stream = TextStream::new(&tokenizer, &before);
        let pieces: Vec<String> =
            text.bytes().map(|byte| stream.push(u32::from(byte)).unwrap()).collect();
        assert_eq!(pieces.concat(), text);
        assert!(pieces.iter().all(|piece| piece.chars().count() <= 1));
        assert_eq!(stream.finish().unwrap(), "");
    }

    #[test]
    fn half_a_character_at_the_end_is_told() {
        let tokenizer = bytes();
        let mut stream = TextStream::new(&tokenizer, &[]);
        assert_eq!(stream.push(u32::from(b'a')).unwrap(), "a");
        assert_eq!(stream.push(0xe6).unwrap(), "");
        assert!(stream.finish().unwrap().chars().all(|c| c == INCOMPLETE));
    }
}
