//! One pass of the model: a piece of the token stream and the part of it that is scored.

/// A window over a token stream. Tokens `begin..end` are its input; tokens `score_from..end` are
/// its targets, each predicted from the tokens before it in this window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Index of the window, from 0.
    pub index: usize,
    /// First token of the input.
    pub begin: usize,
    /// One past the last token of the input.
    pub end: usize,
    /// First target; greater than `begin`, less than `end`.
    pub score_from: usize,
    /// The token that replaces the one at `begin` in the input.
    pub bos: Option<u32>,
}

impl Window {
    /// The input: this window's piece of the `stream` that the windows were made for, its first
    /// token replaced by `bos` if there is one.
    ///
    /// # Shapes
    /// → `[end − begin]`
    #[must_use]
    pub fn tokens(&self, stream: &[u32]) -> Vec<u32> {
        let mut tokens = stream.get(self.begin..self.end).unwrap_or_default().to_vec();
        if let (Some(bos), Some(first)) = (self.bos, tokens.first_mut()) {
            *first = bos;
        }
        tokens
    }

    /// The scored targets.
    ///
    /// # Shapes
    /// → `[end − score_from]`
    #[must_use]
    pub fn targets<'a>(&self, stream: &'a [u32]) -> &'a [u32] {
        stream.get(self.score_from..self.end).unwrap_or_default()
    }

    /// Tokens in the input.
    #[must_use]
    pub fn length(&self) -> usize {
        self.end - self.begin
    }

    /// Number of targets.
    #[must_use]
    pub fn scored(&self) -> usize {
        self.end - self.score_from
    }

    /// Position within the window whose output predicts the first target.
    #[must_use]
    pub fn first_position(&self) -> usize {
        self.score_from - 1 - self.begin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_stream() {
        let stream: Vec<u32> = (100..120).collect();
        let window = Window { index: 1, begin: 4, end: 12, score_from: 9, bos: Some(1) };
        assert_eq!(window.tokens(&stream), [1, 105, 106, 107, 108, 109, 110, 111]);
        assert_eq!(window.targets(&stream), [109, 110, 111]);
        assert_eq!((window.length(), window.scored(), window.first_position()), (8, 3, 4));
        let plain = Window { bos: None, ..window };
        assert_eq!(plain.tokens(&stream)[0], 104);
    }
}
