//! Writes where it may only read.

// A message is borrowed without the right to write; only a raw pointer gets around that.
#![allow(unsafe_code)]

use strait_sdk::prelude::*;

use crate::acting::{Act, Hands, When};

/// Which bytes to write to.
#[derive(Choice, Clone, Copy, PartialEq)]
enum Place {
    /// The first byte of the message.
    First,
    /// The last one.
    Last,
    /// One in the middle.
    Middle,
    /// Every value, doubled.
    All,
    /// The payload that it decodes.
    Payload,
}

/// Parameters of the codec that writes to its input.
#[derive(Params, Clone, Copy)]
pub(crate) struct Writes {
    /// Which bytes.
    #[param(default = "first")]
    place: Place,
}

impl Act for Writes {
    const ID: &'static str = "hostile.writes";
    const SUMMARY: &'static str = "writes to the message that it encodes";

    fn when(&self) -> When {
        if self.place == Place::Payload { When::Decode } else { When::Encode }
    }

    fn act(&self, hands: Hands<'_>) -> Result<()> {
        let (Hands::Encoding(bytes, _) | Hands::Decoding(bytes, _)) = hands else { return Ok(()) };
        if bytes.is_empty() {
            return Ok(());
        }
        let at = match self.place {
            Place::First | Place::Payload => 0..1,
            Place::Last => bytes.len() - 1..bytes.len(),
            Place::Middle => bytes.len() / 2..bytes.len() / 2 + 1,
            Place::All => 0..bytes.len(),
        };
        for byte in at {
            // SAFETY: not safe, on purpose: the bytes are borrowed to be read.
            unsafe {
                let place = bytes.as_ptr().cast_mut().add(byte);
                place.write_volatile(place.read_volatile() ^ 0x40);
            }
        }
        Ok(())
    }
}
