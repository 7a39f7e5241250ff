//! The workspace's only clock: everything that is timed is timed here.

use std::time::{Duration, Instant};

/// A running stopwatch.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts at zero.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this file is the clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Seconds since the start.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}

/// Wall-clock time in seconds since 1970, for what other programs date: the measurements do not use it.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this file is the clock")]
pub fn unix_s() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// Runs `work` and adds the seconds it took to `total_s`.
pub(crate) fn timed<T>(total_s: &mut f64, work: impl FnOnce() -> T) -> T {
    let watch = Stopwatch::start();
    let out = work();
    *total_s += watch.seconds();
    out
}
