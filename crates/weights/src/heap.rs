//! Returns the memory of freed tensors to the system.
//!
//! Among the tensors that stay, each temporary one leaves a hole that may not fit the next. glibc keeps such
//! holes resident, which costs a fifth of a model.
#![allow(unsafe_code)]

/// Returns free memory if the allocator is glibc's; others do so by themselves.
pub fn release() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` is thread-safe and touches nothing that is allocated.
    unsafe {
        libc::malloc_trim(0);
    }
}
