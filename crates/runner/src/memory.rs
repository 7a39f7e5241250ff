//! How much memory a run has used at most: this process, as Linux counts it, and its devices.

use std::collections::BTreeMap;
use std::fs;

use strait_model::Stage;

/// Bytes that the devices of all stages have taken from their drivers, each device once; `None` where
/// a stage's memory is the host's.
pub(crate) fn reserved_bytes(stages: &[Box<dyn Stage>]) -> Option<u64> {
    let mut devices = BTreeMap::new();
    for stage in stages {
        devices.insert(stage.device(), stage.reserved_bytes()?);
    }
    Some(devices.values().sum())
}

/// Has all devices give back what they do not use, so that what they have taken later tells what was
/// needed since.
pub(crate) fn release_devices(stages: &mut [Box<dyn Stage>]) {
    stages.iter_mut().for_each(|stage| stage.release_memory());
}

/// Most bytes that were resident at one time since the last [`reset_peak`], or the start; `None` where
/// the system does not say.
pub(crate) fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Begins a new peak at what is resident now; whether the system lets us.
pub(crate) fn reset_peak() -> bool {
    // 5 resets the high-water mark alone: proc_pid_clear_refs(5).
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_seen_and_forgotten() {
        let before = peak_bytes().unwrap();
        let large = vec![1_u8; 64 << 20];
        assert!(large.iter().map(|&byte| u64::from(byte)).sum::<u64>() > 0);
        let with = peak_bytes().unwrap();
        assert!(with >= before.max(64 << 20));
        drop(large);
        if reset_peak() {
            assert!(peak_bytes().unwrap() < with);
        }
    }
}
