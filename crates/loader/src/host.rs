//! What this host offers to plugins: its thread count, and its log.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, RwLock};

use log::{Level, Record};
use strait_abi::abi_stable::prefix_type::PrefixTypeTrait;
use strait_abi::abi_stable::std_types::RStr;
use strait_abi::{HostServices as AbiServices, HostServicesRef};

use crate::inner::open_inner;

/// The services that the host provides to plugins. Their log records arrive in the host's `log`
/// crate with the target `plugin::<file stem>`, up to the host's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostServices {
    /// Threads a codec may use in one call.
    pub threads: usize,
}

impl Default for HostServices {
    fn default() -> Self {
        HostServices { threads: 1 }
    }
}

/// Log targets of the loaded files, by token.
static TARGETS: RwLock<Vec<Arc<str>>> = RwLock::new(Vec::new());

impl HostServices {
    /// The services as they cross the boundary. They are never freed, because a loaded file stays
    /// loaded.
    pub(crate) fn publish(self, file_stem: &str) -> HostServicesRef {
        let target = Arc::from(format!("plugin::{file_stem}"));
        let mut targets = TARGETS.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        targets.push(target);
        let token = (targets.len() - 1) as u64;
        let threads = self.threads;
        AbiServices { token, threads, log: forward, max_log_level, open_inner }.leak_into_prefix()
    }
}

extern "C" fn max_log_level(_token: u64) -> u32 {
    log::max_level() as u32
}

extern "C" fn forward(token: u64, level: u32, module: RStr<'_>, text: RStr<'_>) {
    let level = match level {
        1 => Level::Error,
        2 => Level::Warn,
        3 => Level::Info,
        4 => Level::Debug,
        _ => Level::Trace,
    };
    if level > log::max_level() {
        return;
    }
    // A panic of the host's logger must not unwind into the plugin.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let targets = TARGETS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let target = usize::try_from(token).ok().and_then(|token| targets.get(token).cloned());
        drop(targets);
        let target = target.as_deref().unwrap_or("plugin");
        log::logger().log(
            &Record::builder()
                .level(level)
                .target(target)
                .module_path(Some(module.as_str()))
                .args(format_args!("{}", text.as_str()))
                .build(),
        );
    }));
}
