//! Values, and words, that a host must not believe.

use strait_sdk::prelude::*;

use crate::acting::{Act, Hands, When};

/// What to say.
#[derive(Choice, Clone, Copy, PartialEq)]
enum Say {
    /// Every decoded value is NaN.
    Nan,
    /// Every decoded value is infinite.
    Infinity,
    /// An error of ten million letters.
    LongError,
    /// A panic of ten million letters.
    LongPanic,
    /// An error that clears the screen and turns the text around.
    ControlError,
    /// A panic whose value panics when it is dropped.
    Bomb,
}

/// Parameters of the codec that says what is not to be believed.
#[derive(Params, Clone, Copy)]
pub(crate) struct Says {
    /// What.
    #[param(default = "nan")]
    what: Say,
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("hostile panic in a panic's value");
    }
}

impl Act for Says {
    const ID: &'static str = "hostile.says";
    const SUMMARY: &'static str = "says what is not to be believed";

    fn when(&self) -> When {
        When::Decode
    }

    fn act(&self, hands: Hands<'_>) -> Result<()> {
        let long = || "x".repeat(10_000_000);
        match (self.what, hands) {
            (Say::Nan, Hands::Decoding(_, bytes)) => bytes.fill(0xff),
            // Exponents of all ones and no fraction, in f32.
            (Say::Infinity, Hands::Decoding(_, bytes)) => {
                bytes
                    .as_chunks_mut()
                    .0
                    .iter_mut()
                    .for_each(|value| *value = f32::INFINITY.to_le_bytes());
            }
            (Say::LongError, _) => return Err(long().into()),
            (Say::LongPanic, _) => panic!("{}", long()),
            (Say::ControlError, _) => return Err("\u{1b}[2J\u{202e}hidden".into()),
            (Say::Bomb, _) => std::panic::panic_any(Bomb),
            _ => {}
        }
        Ok(())
    }
}
