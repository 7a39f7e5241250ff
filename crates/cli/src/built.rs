//! What this binary was built from and with, as its build script found out.

use strait_runner::Build;

/// For the records of a run.
pub(crate) fn build() -> Build {
    Build {
        commit: option_env!("STRAIT_COMMIT"),
        dirty: option_env!("STRAIT_DIRTY").map(|dirty| dirty == "true"),
        rustc: option_env!("STRAIT_RUSTC"),
    }
}
