//! Products of bf16 matrices on the CPU's tile unit (Intel AMX), with f32 sums.
//!
//! The standard library has no stable functions for it, so its seven instructions are written in
//! assembly here. `benches/kernel.rs` compares it with the vector kernel.
#![allow(unsafe_code)] // The tile unit can only be reached through assembly.

use std::arch::asm;
use std::sync::LazyLock;

use crate::product::ROWS;

/// Tokens in a panel: three tiles of 16.
const TOKENS: usize = 48;
/// Inputs that one step of a product consumes.
pub(crate) const STEP: usize = 32;
/// Elements of a left tile, `[16 outputs, 32 inputs]`.
pub(crate) const LEFT_TILE: usize = ROWS * STEP;
/// Pairs of elements of a right step, `[3 tiles, 16 pairs of inputs, 16 tokens]`.
pub(crate) const RIGHT_STEP: usize = STEP / 2 * TOKENS;

/// Pairs of elements of a step with one token, `[16 pairs of inputs, 16 tokens]`.
pub(crate) const COLUMN_STEP: usize = STEP / 2 * 16;

/// Whether this CPU has a tile unit for bf16 that the system lets this process use.
pub(crate) fn available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| crate::instructions::tiles() && detect());
    *AVAILABLE
}

/// The tile unit, configured for this thread until dropped.
#[derive(Debug)]
pub(crate) struct Tiles {
    /// Keeps the value on the thread that configured the unit.
    _thread: std::marker::PhantomData<*const ()>,
}

impl Tiles {
    /// Configures eight tiles of 16 rows of 64 bytes; `None` if there is no tile unit.
    pub(crate) fn configure() -> Option<Tiles> {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if available() {
            #[repr(align(64))]
            struct Config(#[expect(dead_code, reason = "read by the instruction")] [u8; 64]);
            static CONFIG: Config = {
                let mut bytes = [0; 64];
                bytes[0] = 1; // The only palette there is.
                let mut tile = 0;
                while tile < 8 {
                    bytes[16 + 2 * tile] = 64;
                    bytes[48 + tile] = 16;
                    tile += 1;
                }
                Config(bytes)
            };
            // SAFETY: `available` has checked that the CPU and the system allow it; the operand is
            // 64 readable bytes in the form that the instruction requires.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIG, options(nostack)) };
            return Some(Tiles { _thread: std::marker::PhantomData });
        }
        None
    }

    /// Computes `out[i][t] = Σ_k left[i][k] right[k][t]`, added to `out` if `add` is set.
    ///
    /// `left` is `[steps, 16, 32]` bf16, `right` is `[steps, 3, 16, 16]` pairs of bf16.
    #[inline(always)]
    pub(crate) fn product<const NR: usize>(
        &self,
        left: &[u16],
        right: &[u32],
        out: &mut [[f32; NR]; ROWS],
        add: bool,
    ) {
        const { assert!(NR == TOKENS || NR == TOKENS / 2) };
        let steps = left.len() / LEFT_TILE;
        assert!(NR == TOKENS && steps > 0);
        assert!(left.len() == steps * LEFT_TILE && right.len() == steps * RIGHT_STEP);
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        // SAFETY: a `Tiles` of this thread exists, so the tiles are configured. The loop reads
        // `steps` tiles of 1 KiB from `left` and three times as many from `right`, the lengths that
        // were checked above, and reads and writes 16 rows of 192 bytes of `out`.
        unsafe {
            asm!(
                "test {add}, {add}",
                "jz 2f",
                "tileloadd tmm0, [{out} + {row}*1]",
                "tileloadd tmm1, [{out} + {row}*1 + 64]",
                "tileloadd tmm2, [{out} + {row}*1 + 128]",
                "jmp 3f",
                "2:",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "3:",
                "tileloadd tmm6, [{left} + {line}*1]",
                "tileloadd tmm3, [{right} + {line}*1]",
                "tileloadd tmm4, [{right} + {line}*1 + 1024]",
                "tdpbf16ps tmm0, tmm6, tmm3",
                "tileloadd tmm5, [{right} + {line}*1 + 2048]",
                "tdpbf16ps tmm1, tmm6, tmm4",
                "add {left}, 1024",
                "add {right}, 3072",
                "tdpbf16ps tmm2, tmm6, tmm5",
                "dec {steps}",
                "jnz 3b",
                "tilestored [{out} + {row}*1], tmm0",
                "tilestored [{out} + {row}*1 + 64], tmm1",
                "tilestored [{out} + {row}*1 + 128], tmm2",
                add = in(reg) u64::from(add),
                left = inout(reg) left.as_ptr() => _,
                right = inout(reg) right.as_ptr() => _,
                steps = inout(reg) steps => _,
                out = in(reg) out.as_mut_ptr(),
                row = in(reg) 4 * TOKENS,
                line = in(reg) 64usize,
                options(nostack),
            );
        }
    }
}

impl Tiles {
    /// Computes `out[i] = Σ_k left[i][k] right[k][0]`, with the same sums as [`Tiles::product`].
    ///
    /// `left` is `[steps, 16, 32]` bf16, `right` is `[steps, 16, 16]` pairs of bf16.
    #[inline(always)]
    pub(crate) fn column(&self, left: &[u16], right: &[u32], out: &mut [f32; ROWS]) {
        let steps = left.len() / LEFT_TILE;
        assert!(steps > 0 && left.len() == steps * LEFT_TILE && right.len() == steps * COLUMN_STEP);
        let mut tile = [[0.0f32; 16]; ROWS];
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        // SAFETY: a `Tiles` of this thread exists, so the tiles are configured. The loop reads
        // `steps` tiles of 1 KiB from `left` and as many from `right`, the lengths that were checked
        // above, and writes the 16 rows of 64 bytes of `tile`.
        unsafe {
            asm!(
                "tilezero tmm0",
                "3:",
                "tileloadd tmm6, [{left} + {line}*1]",
                "tileloadd tmm3, [{right} + {line}*1]",
                "add {left}, 1024",
                "add {right}, 1024",
                "tdpbf16ps tmm0, tmm6, tmm3",
                "dec {steps}",
                "jnz 3b",
                "tilestored [{out} + {line}*1], tmm0",
                left = inout(reg) left.as_ptr() => _,
                right = inout(reg) right.as_ptr() => _,
                steps = inout(reg) steps => _,
                out = in(reg) tile.as_mut_ptr(),
                line = in(reg) 64usize,
                options(nostack),
            );
        }
        for (out, row) in out.iter_mut().zip(&tile) {
            *out = row[0];
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        // SAFETY: the tiles were configured by this thread; nothing is read from them afterwards.
        unsafe {
            asm!("tilerelease", options(nostack, nomem));
        }
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn detect() -> bool {
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    let leaves = std::arch::x86_64::__cpuid(0).eax;
    let features = std::arch::x86_64::__cpuid_count(7, 0).edx;
    let wide = crate::kernel::panel_tokens() == TOKENS;
    leaves >= 7 && features & AMX_BF16 != 0 && features & AMX_TILE != 0 && wide && permitted()
}

/// Requests permission from Linux to use tile data in this process's threads:
/// arch_prctl(ARCH_REQ_XCOMP_PERM, 18).
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn permitted() -> bool {
    let mut answer = 158i64;
    // SAFETY: the system call takes two numbers, touches no memory of ours, and changes only which
    // registers the kernel saves. Systems that do not know it answer with an error.
    unsafe {
        asm!(
            "syscall",
            inout("rax") answer,
            in("rdi") 0x1023u64,
            in("rsi") 18u64,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn detect() -> bool {
    false
}
