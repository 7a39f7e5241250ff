//! The floating-point settings of a thread. A plugin that changes them would change every number
//! that the thread computes from then on, including those of other cells and of the baseline.

// The control registers of the floating-point units; only assembly reads them.
#![allow(unsafe_code)]

/// The rounding mode of this thread, its treatment of subnormal numbers, and which exceptions trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arithmetic {
    registers: Registers,
}

impl Arithmetic {
    /// Reads the current settings of this thread.
    #[inline]
    pub(super) fn now() -> Self {
        Arithmetic { registers: read() }
    }

    /// Restores these settings; returns whether they had been changed.
    #[inline]
    pub(super) fn restore(self) -> bool {
        let changed = read() != self.registers;
        if changed {
            write(self.registers);
        }
        changed
    }
}

#[cfg(target_arch = "x86_64")]
type Registers = (u32, u16);

/// Sticky exception flags are status, not settings.
#[cfg(target_arch = "x86_64")]
const SETTINGS: u32 = !0x3f;

#[cfg(target_arch = "x86_64")]
#[inline]
fn read() -> Registers {
    let (mut vector, mut old_unit) = (0_u32, 0_u16);
    // SAFETY: stores two registers to two locals.
    unsafe {
        std::arch::asm!(
            "stmxcsr [{}]",
            "fnstcw [{}]",
            in(reg) &raw mut vector,
            in(reg) &raw mut old_unit,
            options(nostack, preserves_flags),
        );
    }
    (vector & SETTINGS, old_unit)
}

#[cfg(target_arch = "x86_64")]
fn write((vector, old_unit): Registers) {
    // SAFETY: loads two registers with values that were read from them.
    unsafe {
        std::arch::asm!(
            "ldmxcsr [{}]",
            "fldcw [{}]",
            in(reg) &raw const vector,
            in(reg) &raw const old_unit,
            options(nostack, preserves_flags),
        );
    }
}

#[cfg(target_arch = "aarch64")]
type Registers = u64;

#[cfg(target_arch = "aarch64")]
#[inline]
fn read() -> Registers {
    let settings: u64;
    // SAFETY: reads a register.
    unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) settings, options(nomem, nostack)) };
    settings
}

#[cfg(target_arch = "aarch64")]
fn write(settings: Registers) {
    // SAFETY: writes a register with a value that was read from it.
    unsafe { std::arch::asm!("msr fpcr, {}", in(reg) settings, options(nomem, nostack)) };
}

/// On other architectures the registers are unknown, so no change is noticed.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Registers = ();

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn read() -> Registers {}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn write((): Registers) {}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn every_setting_is_noticed_and_mended() {
        let before = Arithmetic::now();
        assert!(!before.restore(), "nothing has changed");
        let (vector, old_unit) = before.registers;
        let changed = [6, 12, 13, 14, 15].map(|bit| (vector ^ 1 << bit, old_unit));
        for registers in changed.into_iter().chain([(vector, old_unit ^ 1 << 8)]) {
            write(registers);
            assert!(before.restore(), "{registers:x?}");
            assert_eq!(Arithmetic::now(), before);
        }
    }

    #[test]
    fn an_inexact_result_is_no_change() {
        let before = Arithmetic::now();
        black_box(black_box(1.0_f32) / black_box(3.0_f32));
        assert!(!before.restore());
    }
}
