//! Arithmetic that rounds otherwise after the call than before it, which changes every number that
//! the thread computes from then on.

// The control register of the vector unit; assembly is the only way to it.
#![allow(unsafe_code)]

use strait_sdk::prelude::*;

use crate::acting::{Act, Hands, When};

/// What to leave changed.
#[derive(Choice, Clone, Copy, PartialEq)]
enum Change {
    /// Results that are too small for a normal number become 0.
    FlushToZero,
    /// Operands that are too small for a normal number count as 0.
    DenormalsAreZero,
    /// Round down.
    Down,
    /// Round up.
    Up,
    /// Round towards 0.
    TowardsZero,
    /// Let inexact results trap.
    Trap,
    /// Compute with 24 bits in the old unit.
    OldUnit,
}

/// Parameters of the codec that changes the arithmetic.
#[derive(Params, Clone, Copy)]
pub(crate) struct Floats {
    /// What to leave changed.
    #[param(default = "flush_to_zero")]
    change: Change,
    /// In which call.
    #[param(default = "encode")]
    at: When,
}

impl Act for Floats {
    const ID: &'static str = "hostile.floats";
    const SUMMARY: &'static str = "leaves the arithmetic of its thread changed";

    fn when(&self) -> When {
        self.at
    }

    fn act(&self, _: Hands<'_>) -> Result<()> {
        match self.change {
            Change::FlushToZero => change(|control| control | 1 << 15),
            Change::DenormalsAreZero => change(|control| control | 1 << 6),
            Change::Down => change(|control| control | 1 << 13),
            Change::Up => change(|control| control | 2 << 13),
            Change::TowardsZero => change(|control| control | 3 << 13),
            Change::Trap => change(|control| control & !(1 << 12)),
            Change::OldUnit => shorten_the_old_unit(),
        }
        Ok(())
    }
}

#[cfg(target_arch = "x86_64")]
fn change(change: impl FnOnce(u32) -> u32) {
    let mut control = 0_u32;
    // SAFETY: not safe, on purpose: the compiler counts on the register as it was.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut control, options(nostack));
        control = change(control);
        std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const control, options(nostack));
    }
}

#[cfg(target_arch = "x86_64")]
fn shorten_the_old_unit() {
    let mut control = 0_u16;
    // SAFETY: not safe, on purpose.
    unsafe {
        std::arch::asm!("fnstcw [{}]", in(reg) &raw mut control, options(nostack));
        control &= !(3 << 8);
        std::arch::asm!("fldcw [{}]", in(reg) &raw const control, options(nostack));
    }
}

/// Elsewhere the codec does no harm, and the tests do not ask it to.
#[cfg(not(target_arch = "x86_64"))]
fn change(_: impl FnOnce(u32) -> u32) {}

#[cfg(not(target_arch = "x86_64"))]
fn shorten_the_old_unit() {}
