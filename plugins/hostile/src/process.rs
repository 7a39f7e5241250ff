//! Changes to what the whole process shares, which the host must survive, or not depend on.

use std::sync::atomic::{AtomicU64, Ordering};

use strait_sdk::prelude::*;

use crate::acting::{Act, Hands, When};

/// What to change.
#[derive(Choice, Clone, Copy, PartialEq)]
enum Change {
    /// The folder that relative paths begin in.
    Folder,
    /// A thread that is left behind.
    Thread,
    /// A thread that panics.
    ThreadPanic,
    /// A payload that is another one every time.
    Random,
    /// Eight megabytes that are never given back.
    Leak,
}

/// Parameters of the codec that changes the process.
#[derive(Params, Clone, Copy)]
pub(crate) struct Changes {
    /// What.
    #[param(default = "folder")]
    what: Change,
}

static CALLS: AtomicU64 = AtomicU64::new(0);

impl Act for Changes {
    const ID: &'static str = "hostile.changes";
    const SUMMARY: &'static str = "changes what the whole process shares";

    fn when(&self) -> When {
        When::Encode
    }

    fn act(&self, hands: Hands<'_>) -> Result<()> {
        match (self.what, hands) {
            (Change::Folder, _) => {
                std::env::set_current_dir("/").map_err(|error| Error::new(error.to_string()))?;
            }
            (Change::Thread, _) => drop(std::thread::spawn(std::thread::park)),
            (Change::ThreadPanic, _) => {
                let _ = std::thread::spawn(|| panic!("hostile panic in a thread")).join();
            }
            (Change::Random, Hands::Encoding(_, payload)) => {
                let calls = CALLS.fetch_add(1, Ordering::Relaxed).to_le_bytes();
                payload.iter_mut().zip(calls).for_each(|(byte, calls)| *byte ^= calls);
            }
            (Change::Leak, _) => std::mem::forget(vec![1_u8; 8 << 20]),
            _ => {}
        }
        Ok(())
    }
}
