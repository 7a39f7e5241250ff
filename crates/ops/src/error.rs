//! What can go wrong on a device.

use std::any::Any;
use std::error::Error;

use crate::tap::Site;
use strait_vocabulary::Dtype;

/// An error of a backend, or of its input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpsError {
    /// The device failed during its work.
    #[error("device {device} failed: {reason}")]
    Device {
        /// The device.
        device: String,
        /// What it reported.
        reason: String,
    },
    /// The sizes of arguments disagree.
    #[error("{what}: expected {expected}, found {found}")]
    Size {
        /// Which argument.
        what: &'static str,
        /// The size that would fit.
        expected: String,
        /// The size it has.
        found: String,
    },
    /// The hidden states have another dtype than the model.
    #[error("hidden states: expected dtype {expected}, the model's, found {found}")]
    HiddenDtype {
        /// The model's dtype.
        expected: Dtype,
        /// The dtype found.
        found: Dtype,
    },
    /// A tap failed.
    #[error("tap at {site} of layer {layer}: {source}")]
    Tap {
        /// The site at which it was called.
        site: Site,
        /// Number of the layer.
        layer: usize,
        /// Its own error.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl OpsError {
    /// Makes an [`OpsError::Size`].
    pub fn size(what: &'static str, expected: impl ToString, found: impl ToString) -> OpsError {
        OpsError::Size { what, expected: expected.to_string(), found: found.to_string() }
    }
}

/// The message of a caught panic.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panic without a message")
}
