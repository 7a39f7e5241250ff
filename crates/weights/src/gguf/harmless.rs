//! Keys of GGUF metadata about a model that may go unread, each with the reason.

use crate::unread::Harmless;

/// The keys, without the architecture's name that precedes them.
pub(super) const KEYS: &[Harmless] = &[
    Harmless::new("vocab_size", "the embedding tells"),
    Harmless::new("context_length", "how long texts may be; longer ones give a warning"),
    Harmless::new("tensor_data_layout", "of files from before the format had versions"),
    Harmless::new("rope.scaling.finetuned", "how the model was made"),
    Harmless::new("expert_used_count", "read where there are experts"),
];
