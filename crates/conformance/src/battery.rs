//! The checks, written once over [`Subject`].

mod altered;
pub(crate) mod params;
mod rate;
mod round_trip;

use std::sync::{Arc, OnceLock};

pub(crate) use altered::decode_any;
use serde_json::{Map, Value};
use strait_sdk::Dtype;

use crate::guard::guarded;
use crate::report::Outcome;
use crate::sample::ordinary;
use crate::subject::{Call, End, Facts, Instance, Subject};
use crate::{Case, Report, Sample};

/// One check of the battery.
#[derive(Clone, Copy)]
pub struct Check {
    /// Name of the check, and of the test that [`check!`](crate::check) generates for it.
    pub name: &'static str,
    run: fn(&Trial) -> Result<(), String>,
}

/// Every check, in the order in which they run.
pub const CHECKS: &[Check] = &[
    Check { name: "describes_itself", run: params::describes_itself },
    Check { name: "documents_its_parameters", run: params::documents_its_parameters },
    Check { name: "refuses_values_out_of_range", run: params::refuses_values_out_of_range },
    Check { name: "refuses_unknown_keys", run: params::refuses_unknown_keys },
    Check { name: "decodes_in_a_second_instance", run: round_trip::decodes_in_a_second_instance },
    Check { name: "keeps_its_error_bound", run: round_trip::keeps_its_error_bound },
    Check { name: "keeps_its_payload_size", run: round_trip::keeps_its_payload_size },
    Check {
        name: "gives_the_same_bytes_for_the_same_input",
        run: round_trip::gives_the_same_bytes_for_the_same_input,
    },
    Check { name: "forgets_at_reset", run: round_trip::forgets_at_reset },
    Check { name: "pays_for_what_it_decodes", run: rate::pays_for_what_it_decodes },
    Check { name: "survives_truncated_payloads", run: altered::survives_truncated_payloads },
    Check { name: "survives_extended_payloads", run: altered::survives_extended_payloads },
    Check { name: "survives_altered_payloads", run: altered::survives_altered_payloads },
];

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Runs the checks with every case.
pub(crate) fn run(subject: Arc<dyn Subject>, cases: &[Case], checks: &[Check]) -> Report {
    let facts = subject.facts();
    let mut report = Report::default();
    for case in cases {
        for check in checks {
            let params = case.params(&facts.params);
            let trial = Trial { case: case.clone(), ..Trial::new(Arc::clone(&subject), params) };
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

/// One codec with one case.
pub(crate) struct Trial {
    subject: Arc<dyn Subject>,
    facts: Facts,
    case: Case,
    params: Map<String, Value>,
    /// The artifact, made when an instance is first opened.
    artifact: OnceLock<Call<Vec<u8>>>,
}

impl Trial {
    /// A codec with parameters, without any stated properties.
    pub(crate) fn new(subject: Arc<dyn Subject>, params: Map<String, Value>) -> Self {
        let facts = subject.facts();
        Trial { subject, facts, case: Case::default(), params, artifact: OnceLock::new() }
    }

    /// Fits the codec, if it has a fit step, on these samples instead of those of the checks.
    pub(crate) fn fit_on(&self, samples: &[Sample]) -> Call<()> {
        if self.facts.fits {
            let artifact = self.subject.fit(&self.params, samples)?;
            self.artifact.get_or_init(|| Ok(artifact));
        }
        Ok(())
    }

    /// Opens an instance, with a fitted artifact if the codec has a fit step.
    pub(crate) fn open(&self, end: End) -> Call<Box<dyn Instance>> {
        let artifact = if self.facts.fits {
            Some(self.artifact.get_or_init(|| self.fit()).clone()?)
        } else {
            None
        };
        self.subject
            .open(end, &self.params, artifact.as_deref())
            .map_err(|error| format!("open: {error}"))
    }

    /// The artifact, empty unless one was made.
    pub(crate) fn artifact(&self) -> &[u8] {
        let artifact = self.artifact.get().and_then(|artifact| artifact.as_ref().ok());
        artifact.map_or(&[], Vec::as_slice)
    }

    /// Makes an artifact from messages with every number of channels that the checks use.
    fn fit(&self) -> Call<Vec<u8>> {
        let shape = |channels| strait_sdk::Shape { rows: 64, channels, dtype: Dtype::F32 };
        let samples = [1, 7, 64, 129, 320].map(|channels| ordinary(shape(channels), 9));
        self.subject.fit(&self.params, &samples).map_err(|error| format!("fit: {error}"))
    }
}
