//! Messages that may only be read.
//!
//! Cells that go on from the same hidden states encode the same bytes. One that wrote to them would
//! change the numbers of its neighbours, so the host takes the right to write away while codecs run.

// The protection of pages, and putting back what a plugin may not have changed.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// While it lives, nobody can write to the whole pages inside the bytes: a codec that tries to crashes.
#[derive(Debug)]
pub struct Shield<'a> {
    /// Start and length in bytes of the pages; length 0 for none.
    pages: (*mut u8, usize),
    lifetime: PhantomData<&'a [u8]>,
}

// SAFETY: the pointer is only handed to the system, from whatever thread.
unsafe impl Send for Shield<'_> {}
// SAFETY: a shared reference gives nothing but debug text.
unsafe impl Sync for Shield<'_> {}

impl<'a> Shield<'a> {
    /// Protects bytes of memory that was allocated to be written to.
    pub fn over(bytes: &'a [u8]) -> Shield<'a> {
        let page = page_bytes();
        let start = bytes.as_ptr().cast_mut();
        // The first and the last bytes are left to `Edges`, also where they fill a page: an encoder that
        // writes to them then fails instead of crashing.
        let before = match start.align_offset(page) {
            0 => page,
            offset => offset,
        };
        let inside = bytes.len().saturating_sub(before).saturating_sub(1);
        let whole = inside / page * page;
        let first = start.wrapping_add(before);
        let protected = whole > 0 && protect(first, whole);
        // Without protection the ends of each message are still compared, see `Edges`.
        let pages = if protected { (first, whole) } else { (ptr::null_mut(), 0) };
        Shield { pages, lifetime: PhantomData }
    }
}

impl Drop for Shield<'_> {
    fn drop(&mut self) {
        let (first, whole) = self.pages;
        if whole > 0 {
            unprotect(first, whole);
        }
    }
}

/// Start, length and number of the shields over the same pages: several batches of cells go on from the
/// same states at the same time, and the first that is done must not expose the others.
static SHIELDED: Mutex<Vec<(usize, usize, usize)>> = Mutex::new(Vec::new());

fn protect(first: *mut u8, whole: usize) -> bool {
    let mut shielded = SHIELDED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(same) = shielded.iter_mut().find(|at| (at.0, at.1) == (first.addr(), whole)) {
        same.2 += 1;
        return true;
    }
    // SAFETY: the pages lie inside bytes that are borrowed, which nobody may write to meanwhile; nothing
    // else has a part of them.
    let protected = unsafe { libc::mprotect(first.cast(), whole, libc::PROT_READ) } == 0;
    if protected {
        shielded.push((first.addr(), whole, 1));
    }
    protected
}

fn unprotect(first: *mut u8, whole: usize) {
    let mut shielded = SHIELDED.lock().unwrap_or_else(PoisonError::into_inner);
    let place = shielded.iter().position(|at| (at.0, at.1) == (first.addr(), whole));
    let Some(place) = place else { return };
    shielded[place].2 -= 1;
    if shielded[place].2 == 0 {
        shielded.swap_remove(place);
        // SAFETY: these pages were writable before `protect`.
        unsafe { libc::mprotect(first.cast(), whole, libc::PROT_READ | libc::PROT_WRITE) };
    }
}

fn page_bytes() -> usize {
    // SAFETY: asks for a constant of the system.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4096)
}

/// Copies of the first and the last bytes of a message, which share their pages with other memory and
/// so cannot be protected.
#[derive(Debug, Default)]
pub(crate) struct Edges(Vec<u8>);

/// Bytes at each end.
const EDGE: usize = 4096;

impl Edges {
    /// Remembers the ends of `bytes`.
    pub(crate) fn remember(&mut self, bytes: &[u8]) {
        self.0.clear();
        for edge in edges(bytes.len()) {
            self.0.extend_from_slice(&bytes[edge]);
        }
    }

    /// Puts back what is no longer as it was remembered; returns whether that was so.
    ///
    /// # Safety
    /// The bytes are the remembered ones, in memory that was allocated to be written to. Others may
    /// read them meanwhile, and were promised that they hold what was remembered.
    pub(crate) unsafe fn restore(&self, bytes: *const [u8]) -> bool {
        // What the compiler knows of borrowed bytes is what the plugin may have broken.
        let start = std::hint::black_box(bytes.cast::<u8>());
        let (mut known, mut changed) = (self.0.as_slice(), false);
        for edge in edges(bytes.len()) {
            let (expected, rest) = known.split_at(edge.len());
            known = rest;
            // SAFETY: the edge lies within the bytes.
            let found = unsafe { std::slice::from_raw_parts(start.add(edge.start), edge.len()) };
            if found == expected {
                continue;
            }
            changed = true;
            for (place, byte) in edge.zip(expected) {
                // SAFETY: as above, and the memory was allocated to be written to. What differs was
                // written to, so it is not protected; what does not may be.
                unsafe {
                    let place = start.add(place).cast_mut();
                    if place.read_volatile() != *byte {
                        place.write_volatile(*byte);
                    }
                }
            }
        }
        changed
    }
}

/// The places of the first and of the last bytes; all of them where they are few.
fn edges(length: usize) -> [Range<usize>; 2] {
    let first = length.min(EDGE);
    [0..first, length.saturating_sub(EDGE).max(first)..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shielded_bytes_are_read_and_written_again_afterwards() {
        let mut bytes = vec![7_u8; 5 * page_bytes() + 100];
        {
            let shield = Shield::over(&bytes);
            assert!(shield.pages.1 >= 4 * page_bytes());
            let _again = Shield::over(&bytes[1..]);
            assert!(bytes.iter().all(|byte| *byte == 7));
        }
        bytes.fill(8);
        let short = Shield::over(&bytes[..50]);
        assert_eq!(short.pages.1, 0);
    }

    #[test]
    fn edges_are_noticed_and_put_back() {
        for length in [0, 1, 100, EDGE, EDGE + 1, 2 * EDGE, 3 * EDGE] {
            let before: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let mut bytes = before.clone();
            let mut edges = Edges::default();
            edges.remember(&bytes);
            let view = std::ptr::from_mut(bytes.as_mut_slice());
            // SAFETY: the bytes live, and only this thread uses them, through `view`.
            let restore = || unsafe { edges.restore(view) };
            // SAFETY: as above.
            let flip = |place: usize| unsafe { (*view)[place] ^= 1 };
            assert!(!restore());
            for place in [0, length / 2, length.saturating_sub(1)] {
                if place >= length {
                    continue;
                }
                flip(place);
                let seen = place < EDGE || place + EDGE >= length;
                assert_eq!(restore(), seen, "{place} of {length}");
                if !seen {
                    flip(place);
                }
                // SAFETY: as above.
                assert!(unsafe { &*view } == before.as_slice(), "{place} of {length}");
            }
        }
    }
}
