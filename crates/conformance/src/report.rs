//! The results of the checks.

use std::fmt;

/// The outcome of one check on one codec with one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Id of the codec.
    pub codec: String,
    /// The case, as text.
    pub case: String,
    /// Name of the check, one of [`CHECKS`](crate::CHECKS).
    pub check: &'static str,
    /// Why it failed; `None` when it passed.
    pub failure: Option<String>,
}

/// The outcomes of all checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The outcomes, in the order in which the checks ran.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Whether every check passed.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.failure.is_some())
    }

    /// Fails a test with the list of failures, if there are any.
    ///
    /// # Panics
    /// When a check failed.
    #[track_caller]
    pub fn assert_passed(&self) {
        let failures: Vec<String> = self.failures().map(ToString::to_string).collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} with {}: ", self.codec, self.check, self.case)?;
        f.write_str(self.failure.as_deref().unwrap_or("ok"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outcomes.iter().try_for_each(|outcome| writeln!(f, "{outcome}"))
    }
}
