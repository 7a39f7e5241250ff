//! What a run is measured with.

use strait_schema::Environment;

/// The version of burn that the workspace pins.
const BURN: &str = "0.21.0";

/// Everything but the device, which is known once the model is loaded. Devices have been opened.
pub(crate) fn environment(threads: usize) -> Environment {
    Environment {
        strait: env!("CARGO_PKG_VERSION").to_owned(),
        burn: BURN.to_owned(),
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu: cpu_name(),
        device: String::new(),
        passed_over: strait_model::passed_over().map(str::to_owned),
        threads,
    }
}

fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::BURN;

    #[test]
    fn the_version_of_burn_is_the_one_in_the_lock_file() {
        let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
        let lock = std::fs::read_to_string(lock).unwrap();
        assert!(lock.contains(&format!("name = \"burn-tensor\"\nversion = \"{BURN}\"\n")));
    }
}
