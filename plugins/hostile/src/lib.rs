//! The deliberately bad plugin that the loader's tests use; never bundled.
//!
//! Each codec does one thing that a host must survive or a measurement must notice: panics and
//! errors at every call (`faults`), payloads of a wrong length and half-filled messages
//! (`payloads`), decoders that know more than the payload (`cheats`), and codecs with another one
//! inside (`outer`). `services` uses what the host offers, to show that it arrives. `presses` are
//! presses, some of them as bad.

#![allow(clippy::panic, reason = "panicking is what this plugin is for")]

mod cheats;
mod faults;
mod outer;
mod payloads;
mod presses;
mod services;

strait_sdk::export!(
    faults::Panics,
    faults::Errors,
    payloads::Lengths,
    payloads::HalfFilled,
    cheats::StaticCheat,
    cheats::InstanceCheat,
    services::Chatty,
    outer::Outer,
    outer::Myself;
    presses: presses::Wrong,
    presses::Longest,
);
