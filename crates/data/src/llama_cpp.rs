//! The differences between llama.cpp's `perplexity` and the Hugging Face library with the same tokenizer.

use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, Tokenizer, normalizers};

/// `tokenizer` as llama.cpp uses it: control tokens in a text are plain text, a text is not normalised to a
/// form of Unicode before it is split, and a space is put before a text whether or not the text begins with
/// one.
pub(crate) fn plain(tokenizer: &Tokenizer) -> Tokenizer {
    let mut plain = tokenizer.clone();
    plain.set_encode_special_tokens(true);
    let forms = |normalizer: &NormalizerWrapper| {
        matches!(normalizer, NormalizerWrapper::NFC(_) | NormalizerWrapper::NFKC(_))
    };
    if plain.get_normalizer().is_some_and(forms) {
        plain.with_normalizer(None::<NormalizerWrapper>);
    }
    let space = match plain.get_pre_tokenizer() {
        Some(PreTokenizerWrapper::Metaspace(space)) => space.clone(),
        _ => return plain,
    };
    if space.get_prepend_scheme() != PrependScheme::Never {
        let prepend = normalizers::Prepend::new(space.get_replacement().to_string());
        let before = plain.get_normalizer().cloned();
        let parts = before.into_iter().chain([prepend.into()]).collect();
        plain.with_normalizer(Some(normalizers::Sequence::new(parts)));
        let never =
            Metaspace::new(space.get_replacement(), PrependScheme::Never, space.get_split());
        plain.with_pre_tokenizer(Some(never));
    }
    plain
}
