//! Memory of freed tensors, given back to the system.
//!
//! Between the tensors that stay, each one read leaves a hole that the next may not fit: glibc keeps such holes resident, which
//! costs a fifth of a model.
#![allow(unsafe_code)]

/// Gives free memory back where the allocator is glibc's; others do it on their own.
pub fn release() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` is thread-safe and touches nothing that is allocated.
    unsafe {
        libc::malloc_trim(0);
    }
}
