//! The deliberately bad plugin of the host's tests; never bundled.
//!
//! [`MODES`] is the table of everything that it does wrong, and of what the host makes of it. Its codecs
//! panic and fail at every call (`faults`), end the process or never come back (`ends`), leave the
//! arithmetic changed (`floats`), write where they may only read (`writes`), change what the process
//! shares (`process`), say what is not to be believed (`values`), write payloads of a wrong length and
//! half-filled messages (`payloads`), know more than the payload (`cheats`), and have another codec
//! inside (`outer`). `services` uses what the host offers, to show that it arrives. `presses` are
//! presses, some of them as bad.

#![allow(clippy::panic, reason = "panicking is what this plugin is for")]

mod acting;
mod cheats;
mod ends;
mod faults;
mod floats;
mod outer;
mod payloads;
mod presses;
mod process;
mod services;
mod table;
mod values;
mod writes;

pub use table::{MODES, Mode, Outcome};

strait_sdk::export!(
    faults::Panics,
    faults::Errors,
    payloads::Lengths,
    payloads::HalfFilled,
    cheats::StaticCheat,
    cheats::InstanceCheat,
    cheats::FileCheat,
    cheats::AddressCheat,
    services::Chatty,
    outer::Outer,
    outer::Myself,
    acting::Acting<ends::Ends>,
    acting::Acting<floats::Floats>,
    acting::Acting<process::Changes>,
    acting::Acting<values::Says>,
    acting::Acting<writes::Writes>;
    presses: presses::Wrong,
    presses::Longest,
);
