//! Each press here breaks one rule; the kit must name the check that finds it, and no other.

use strait_conformance::{Case, PRESS_CHECKS, check_press};
use strait_sdk::prelude::*;
use strait_sdk::press::{Budget, abi};
use strait_sdk::serde_json::json;

/// Ways to break the rules. `None` breaks none.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Keeps every rule.
    None,
    /// Keeps one entry too many.
    Greedy,
    /// Drops an entry when nothing should go.
    Eager,
    /// Lists entries in descending order.
    Descending,
    /// Looks at a counter.
    Counts,
    /// Looks at earlier layers.
    Remembers,
    /// Asks for more than it declares.
    Curious,
    /// Relies on side information that may be missing.
    Trusting,
    /// Panics when there is no entry.
    Panics,
}

#[derive(Params, Clone, Copy)]
struct BrokenParams {
    /// What is broken.
    #[param(default = "none")]
    fault: Fault,
}

struct Broken {
    fault: Fault,
    calls: usize,
}

static OPENED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

impl Press for Broken {
    const INFO: PressInfo = PressInfo {
        id: "broken",
        summary: "breaks the rule it is told to break",
        budget: Budget::Entries,
        side_information: &[abi::QUERIES],
        ..PressInfo::DEFAULT
    };
    type Params = BrokenParams;

    fn open(params: BrokenParams) -> Result<Self> {
        let counts = params.fault == Fault::Counts;
        let add = usize::from(counts);
        let calls = OPENED.fetch_add(add, std::sync::atomic::Ordering::Relaxed) * add;
        Ok(Broken { fault: params.fault, calls })
    }

    fn needs(&self) -> Vec<Need> {
        match self.fault {
            Fault::Curious => vec![Need::HiddenStates],
            Fault::Trusting => vec![Need::Queries(2)],
            _ => Vec::new(),
        }
    }

    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        if self.fault == Fault::Remembers {
            self.calls += 1;
        }
        let score = |p: &u32| ((*p as usize + self.calls) % 7) as f32;
        Ok(layer.heads().iter().map(|h| h.positions().iter().map(score).collect()).collect())
    }

    fn press(&mut self, layer: &Layer<'_>, selection: &Selection) -> Result<Vec<Kept>> {
        let mut kept = selection.press(layer, &mut |part| self.score(part))?;
        for (kept, head) in kept.iter_mut().zip(layer.heads()) {
            match self.fault {
                Fault::Greedy => {
                    let more = (0..head.len()).find(|e| !kept.entries.contains(e));
                    kept.entries.extend(more);
                    kept.entries.sort_unstable();
                }
                Fault::Eager if kept.entries.len() == head.len() => drop(kept.entries.pop()),
                Fault::Descending => kept.entries.reverse(),
                Fault::Trusting => {
                    assert!(layer.queries().is_ok());
                }
                Fault::Panics => assert!(!head.is_empty()),
                _ => {}
            }
        }
        Ok(kept)
    }
}

/// The checks that failed.
fn failing(fault: Fault) -> Vec<&'static str> {
    let report = check_press::<Broken>(&[Case::new(json!({ "fault": fault.name() }))]);
    assert_eq!(report.outcomes.len(), PRESS_CHECKS.len());
    report.failures().map(|outcome| outcome.check).collect()
}

#[test]
fn each_fault_is_found_by_its_check() {
    assert_eq!(failing(Fault::None), [""; 0]);
    assert_eq!(failing(Fault::Greedy), ["meets_its_budget"]);
    assert_eq!(failing(Fault::Eager), ["keeps_everything_at_ratio_0"]);
    assert_eq!(failing(Fault::Curious), ["asks_for_what_it_declares"]);
    assert_eq!(failing(Fault::Counts), ["keeps_the_same_for_the_same_input"]);
    assert_eq!(failing(Fault::Remembers), ["starts_anew_at_reset"]);
    assert_eq!(failing(Fault::Trusting), ["survives_missing_side_information"]);
    let everywhere = [
        "keeps_everything_at_ratio_0",
        "meets_its_budget",
        "keeps_the_same_for_the_same_input",
        "starts_anew_at_reset",
        "survives_hard_layers",
        "survives_missing_side_information",
    ];
    assert_eq!(failing(Fault::Descending), everywhere);
    assert_eq!(failing(Fault::Panics), ["keeps_everything_at_ratio_0", "survives_hard_layers"]);
}
