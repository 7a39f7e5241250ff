//! The test kit for presses: the same idea as for codecs, with its own checks.

mod checks;
mod example;
mod golden;
mod sample;
mod subject;

use std::sync::Arc;

use serde_json::{Map, Value};
use strait_loader::PressEntry;
use strait_sdk::press::Press;

pub use example::check_press_example;
pub use golden::{GoldenPress, golden_presses};

use crate::guard::guarded;
use crate::report::Outcome;
use crate::{Case, Report};
use checks::Trial;
use subject::{InLibrary, InProcess, Subject};

/// One check of a press.
#[derive(Clone, Copy)]
pub struct PressCheck {
    /// Name of the check, and of the test that [`check_press!`](macro@crate::check_press) generates
    /// for it.
    pub name: &'static str,
    run: fn(&Trial) -> Result<(), String>,
}

/// Every check of a press, in the order in which they run.
pub const PRESS_CHECKS: &[PressCheck] = &[
    PressCheck { name: "describes_itself", run: checks::describes_itself },
    PressCheck { name: "documents_its_parameters", run: checks::documents_its_parameters },
    PressCheck { name: "refuses_values_out_of_range", run: checks::refuses_values_out_of_range },
    PressCheck { name: "refuses_unknown_keys", run: checks::refuses_unknown_keys },
    PressCheck { name: "asks_for_what_it_declares", run: checks::asks_for_what_it_declares },
    PressCheck { name: "keeps_everything_at_ratio_0", run: checks::keeps_everything_at_ratio_0 },
    PressCheck { name: "meets_its_budget", run: checks::meets_its_budget },
    PressCheck {
        name: "keeps_the_same_for_the_same_input",
        run: checks::keeps_the_same_for_the_same_input,
    },
    PressCheck { name: "starts_anew_at_reset", run: checks::starts_anew_at_reset },
    PressCheck { name: "survives_hard_layers", run: checks::survives_hard_layers },
    PressCheck { name: "survives_missing_side_information", run: checks::survives_missing_side },
];

impl std::fmt::Debug for PressCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Generates a test module for a press: one `#[test]` for each of the
/// [`PRESS_CHECKS`](crate::PRESS_CHECKS). It is used like [`check!`](macro@crate::check):
/// `check_press!(MyPress)`, `check_press!(MyPress, [case!({ "sinks": 4 }), …])`, `check_press!(mod
/// name: MyPress, […])`.
#[macro_export]
macro_rules! check_press {
    (mod $name:ident: $press:ty, $cases:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $crate::__press_tests! { $press, $cases;
                describes_itself
                documents_its_parameters
                refuses_values_out_of_range
                refuses_unknown_keys
                asks_for_what_it_declares
                keeps_everything_at_ratio_0
                meets_its_budget
                keeps_the_same_for_the_same_input
                starts_anew_at_reset
                survives_hard_layers
                survives_missing_side_information
            }
        }
    };
    (mod $name:ident: $press:ty) => {
        $crate::check_press!(mod $name: $press, [$crate::Case::default()]);
    };
    ($press:ty, $cases:expr) => { $crate::check_press!(mod conformance: $press, $cases); };
    ($press:ty) => { $crate::check_press!(mod conformance: $press); };
}

/// One test per check name.
#[doc(hidden)]
#[macro_export]
macro_rules! __press_tests {
    ($press:ty, $cases:expr; $($check:ident)+) => {
        $(
            #[test]
            fn $check() {
                $crate::__private::assert_press_check::<$press>(stringify!($check), &$cases);
            }
        )+

        #[test]
        fn every_check_is_a_test() {
            assert_eq!(
                [$(stringify!($check)),+].as_slice(),
                $crate::PRESS_CHECKS.iter().map(|check| check.name).collect::<Vec<_>>(),
            );
        }
    };
}

/// Runs every check on a press with every case.
pub fn check_press<P: Press>(cases: &[Case]) -> Report {
    run(Arc::new(InProcess::<P>::new()), cases, PRESS_CHECKS)
}

/// Runs the check with this name, and fails the test if it fails.
#[doc(hidden)]
#[track_caller]
pub fn assert_press_check<P: Press>(name: &str, cases: &[Case]) {
    let checks: Vec<_> = PRESS_CHECKS.iter().filter(|check| check.name == name).copied().collect();
    assert_eq!(checks.len(), 1, "no check is called {name}");
    run(Arc::new(InProcess::<P>::new()), cases, &checks).assert_passed();
}

/// Runs every check on a press of a built file, with its default parameters.
pub(crate) fn check_entry(entry: PressEntry) -> Report {
    run(Arc::new(InLibrary(entry)), &[Case::default()], PRESS_CHECKS)
}

fn run(subject: Arc<dyn Subject>, cases: &[Case], checks: &[PressCheck]) -> Report {
    let facts = subject.facts();
    let mut report = Report::default();
    for case in cases {
        let params: Map<String, Value> = case.params(&facts.params);
        for check in checks {
            let trial = Trial {
                subject: Arc::clone(&subject),
                facts: facts.clone(),
                params: params.clone(),
                is_table: case.is_table(),
            };
            let run = check.run;
            report.outcomes.push(Outcome {
                codec: facts.id.clone(),
                case: case.to_string(),
                check: check.name,
                failure: guarded(move || run(&trial)).err(),
            });
        }
    }
    report
}
