//! The effect check: whether what a cell did to the values shows in what the model made of them. It
//! needs nothing but the cell's own journal, which has the baseline's likelihoods beside the cell's.

use strait_schema::{Dtype, LinkCounts};

use super::journal::WindowEntry;
use crate::plan::{PlannedCell, Work};

/// Sums of a window's likelihood that differ by less are the same: with a compressed cache they are
/// made in other steps than the baseline's.
const TOLERANCE: f64 = 1e-9;

/// What a cell did, as its journal shows it, window after window.
pub(super) struct Evidence {
    site: Site,
    /// The square of half a unit in the last place, relative to a value.
    rounding: f64,
    /// Whether any value arrived otherwise than it was, or any entry went.
    changed: bool,
    /// Windows in which more was changed than rounding can swallow.
    struck: usize,
    /// Those among them that have the baseline's likelihood.
    unmoved: usize,
    /// Whether all windows have the baseline's likelihood.
    all_unmoved: bool,
}

/// Where a cell works.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Site {
    /// Nowhere that could lose anything.
    Nowhere,
    Links,
    /// `removal` says that fewer bytes than the baseline's mean entries that were removed: there is
    /// no codec that makes them smaller.
    Cache {
        removal: bool,
    },
}

/// What a reader should know.
pub(super) enum Finding {
    Nothing,
    /// A warning.
    Odd(String),
    /// The figures are not those of what the cell was to do.
    Failed(String),
}

impl Evidence {
    /// None yet, for a cell that does what is planned.
    pub(super) fn of(planned: &PlannedCell) -> Self {
        let site = match &planned.work {
            _ if planned.lossless() => Site::Nowhere,
            Work::Links(_) => Site::Links,
            Work::Cache(plan) => Site::Cache { removal: plan.removes() && !plan.codes() },
            Work::Baseline | Work::Noise { .. } | Work::Model(_) => Site::Nowhere,
        };
        Self::at(site, planned.identity.model.dtype)
    }

    fn at(site: Site, dtype: Dtype) -> Self {
        let bits = match dtype {
            Dtype::F32 => 24,
            Dtype::F16 => 11,
            Dtype::Bf16 => 8,
        };
        let rounding = 0.25_f64.powi(bits);
        Self { site, rounding, changed: false, struck: 0, unmoved: 0, all_unmoved: true }
    }

    /// Takes in a window.
    pub(super) fn add(&mut self, entry: &WindowEntry) {
        let equal = match self.site {
            Site::Nowhere => return,
            Site::Links => entry.nll == entry.base_nll,
            Site::Cache { .. } => {
                let (own, base): (f64, f64) = (entry.nll.iter().sum(), entry.base_nll.iter().sum());
                (own - base).abs() <= TOLERANCE * base.abs()
            }
        };
        let removed = |link: &LinkCounts| {
            self.site == Site::Cache { removal: true } && link.payload_bytes < link.raw_bytes
        };
        let changed = |link: &LinkCounts| link.distortion.max_abs != 0.0 || removed(link);
        let struck = |link: &LinkCounts| {
            let distortion = &link.distortion;
            distortion.squared_error > self.rounding * distortion.squared_signal || removed(link)
        };
        let (changed, struck) = (entry.links.iter().any(changed), entry.links.iter().any(struck));
        self.changed |= changed;
        self.all_unmoved &= equal;
        self.struck += usize::from(struck);
        self.unmoved += usize::from(struck && equal);
    }

    /// What all windows say together.
    pub(super) fn finding(&self) -> Finding {
        let unseen = "values were changed, yet every window has the baseline's likelihood: does the model see the decoded values?";
        let exact = match self.site {
            Site::Nowhere => return Finding::Nothing,
            Site::Links => "the codec changed no value on any link",
            Site::Cache { .. } => "the cache kept every value as it was",
        };
        if self.struck > 0 && self.struck == self.unmoved {
            return Finding::Failed(unseen.to_owned());
        }
        // A single value that rounding swallows proves nothing: f16 beside bf16 has such values.
        if self.changed && self.all_unmoved {
            return Finding::Odd(unseen.to_owned());
        }
        if self.changed {
            return Finding::Nothing;
        }
        Finding::Odd(format!("{exact}: expected of a lossless setting only"))
    }
}

#[cfg(test)]
mod tests {
    use strait_schema::Distortion;

    use super::*;
    use crate::book::journal::WindowTime;

    /// A window whose cell has this error relative to the values, and these likelihoods.
    fn window(error: f64, nll: [f64; 2], base_nll: [f64; 2], payload_bytes: u64) -> WindowEntry {
        let mut link = LinkCounts::new("after:0 node0->node1");
        link.raw_bytes = 100;
        link.payload_bytes = payload_bytes;
        link.distortion = Distortion {
            squared_error: error * error * 8.0,
            squared_signal: 8.0,
            max_abs: error,
            ..Distortion::default()
        };
        WindowEntry {
            index: 0,
            nll: nll.to_vec(),
            base_nll: base_nll.to_vec(),
            base_top: vec![0.5; 2],
            kld: vec![0.0; 2],
            same_top: vec![true; 2],
            links: vec![link],
            time: WindowTime::default(),
            kept: Vec::new(),
        }
    }

    fn finding(site: Site, windows: &[WindowEntry]) -> Finding {
        let mut evidence = Evidence::at(site, Dtype::F32);
        windows.iter().for_each(|window| evidence.add(window));
        evidence.finding()
    }

    const BASE: [f64; 2] = [1.5, 2.5];
    const OTHER: [f64; 2] = [1.5, 2.75];

    #[test]
    fn a_change_that_the_model_does_not_see_fails_the_cell() {
        for site in [Site::Links, Site::Cache { removal: false }] {
            let unseen = [window(0.1, BASE, BASE, 50), window(0.0, BASE, BASE, 50)];
            assert!(matches!(finding(site, &unseen), Finding::Failed(_)));
            // One window that shows it is enough: text may be easy elsewhere.
            let seen = [window(0.1, BASE, BASE, 50), window(0.1, OTHER, BASE, 50)];
            assert!(matches!(finding(site, &seen), Finding::Nothing));
        }
    }

    #[test]
    fn a_change_that_rounding_swallows_is_odd_and_no_change_too() {
        let tiny = [window(1e-9, BASE, BASE, 50)];
        assert!(matches!(finding(Site::Links, &tiny), Finding::Odd(text) if text.contains("yet")));
        let exact = [window(0.0, BASE, BASE, 50)];
        assert!(
            matches!(finding(Site::Links, &exact), Finding::Odd(text) if text.contains("no value"))
        );
        assert!(matches!(finding(Site::Nowhere, &exact), Finding::Nothing));
    }

    #[test]
    fn bytes_that_are_gone_are_entries_that_are_gone_where_no_codec_works() {
        let smaller = [window(0.0, BASE, BASE, 50)];
        let removal = Site::Cache { removal: true };
        assert!(matches!(finding(removal, &smaller), Finding::Failed(_)));
        assert!(matches!(finding(Site::Cache { removal: false }, &smaller), Finding::Odd(_)));
        let whole = [window(0.0, BASE, BASE, 100)];
        assert!(matches!(finding(removal, &whole), Finding::Odd(text) if text.contains("kept")));
        let seen = [window(0.0, OTHER, BASE, 50)];
        assert!(matches!(finding(removal, &seen), Finding::Nothing));
    }
}
