//! Ways to end the process, or never to come back to it.

// Most of them are what no safe code can do.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::sync::Mutex;
use std::time::Duration;

use strait_sdk::prelude::*;

use crate::acting::{Act, Hands, When};

/// How to end it.
#[derive(Choice, Clone, Copy, PartialEq)]
enum How {
    /// `exit(0)`, as if all were well.
    Exit,
    /// `exit(3)`.
    ExitWithAnError,
    /// `exit(0)` in a thread of its own.
    ExitInThread,
    /// `abort()`.
    Abort,
    /// Read an address that is not there.
    Read,
    /// Write to an address that is not there.
    Write,
    /// Read beyond the end of a file that is mapped.
    Map,
    /// An instruction that there is not.
    Instruction,
    /// Divide by zero.
    Divide,
    /// A breakpoint.
    Breakpoint,
    /// Call itself without an end.
    Recurse,
    /// Panic while another panic unwinds.
    PanicTwice,
    /// Ask for more memory than there is.
    Memory,
    /// An endless loop.
    Loop,
    /// Sleep for ever.
    Sleep,
    /// Wait for a lock that it holds.
    Deadlock,
    /// Go on in two processes.
    Fork,
}

/// Parameters of the codec that ends the process.
#[derive(Params, Clone, Copy)]
pub(crate) struct Ends {
    /// How.
    #[param(default = "exit")]
    how: How,
    /// In which call.
    #[param(default = "encode")]
    at: When,
}

impl Act for Ends {
    const ID: &'static str = "hostile.ends";
    const SUMMARY: &'static str = "ends the process, or never returns to it";

    fn when(&self) -> When {
        self.at
    }

    fn act(&self, _: Hands<'_>) -> Result<()> {
        match self.how {
            How::Exit => std::process::exit(0),
            How::ExitWithAnError => std::process::exit(3),
            How::ExitInThread => drop(std::thread::spawn(|| std::process::exit(0)).join()),
            How::Abort => std::process::abort(),
            // SAFETY: not safe, on purpose.
            How::Read => drop(black_box(unsafe { nowhere().read_volatile() })),
            // SAFETY: not safe, on purpose.
            How::Write => unsafe { nowhere().write_volatile(1) },
            How::Map => read_behind_a_file()?,
            // A compiler knows better than to write these, so the signal is sent.
            How::Instruction => raise(libc::SIGILL),
            How::Divide => raise(libc::SIGFPE),
            How::Breakpoint => raise(libc::SIGTRAP),
            How::Recurse => drop(black_box(deeper(0))),
            How::PanicTwice => {
                let _bomb = Bomb;
                panic!("hostile panic, the first");
            }
            How::Memory => {
                let layout = std::alloc::Layout::new::<[u8; 1 << 40]>();
                std::alloc::handle_alloc_error(layout)
            }
            How::Loop => loop {
                std::hint::spin_loop();
            },
            How::Sleep => loop {
                std::thread::sleep(Duration::from_secs(1000));
            },
            How::Deadlock => {
                let lock = Mutex::new(());
                let _held = lock.lock();
                drop(black_box(&lock).lock());
            }
            // SAFETY: not safe, on purpose.
            How::Fork => drop(black_box(unsafe { libc::fork() })),
        }
        Ok(())
    }
}

fn nowhere() -> *mut u8 {
    black_box(std::ptr::without_provenance_mut(8))
}

fn raise(signal: i32) {
    // SAFETY: not safe, on purpose.
    unsafe { libc::raise(signal) };
}

/// A mapping of an empty file has an address and no memory.
fn read_behind_a_file() -> Result<()> {
    let path = std::env::temp_dir().join(format!("strait-hostile-{}", std::process::id()));
    // A process of this number may have been killed before it removed its own.
    let mut options = std::fs::File::options();
    let options = options.read(true).write(true).create(true).truncate(true);
    let file = options.open(&path).map_err(|error| Error::new(error.to_string()))?;
    let _ = std::fs::remove_file(&path);
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file);
    // SAFETY: not safe, on purpose: there is no page behind the address.
    unsafe {
        let kind = (libc::PROT_READ, libc::MAP_SHARED);
        let page = libc::mmap(std::ptr::null_mut(), 4096, kind.0, kind.1, descriptor, 0);
        black_box(page.cast::<u8>().read_volatile());
    }
    Ok(())
}

fn deeper(level: u64) -> u64 {
    let frame = black_box([level; 512]);
    if level == u64::MAX { 0 } else { deeper(level + 1) + frame[7] }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("hostile panic, the second");
    }
}
