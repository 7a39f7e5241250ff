//! Cells that agree: two settings whose every window has the same likelihood are more likely one
//! setting, or a mistake, than a result. This is seen when records are read side by side; no record
//! depends on its neighbours.

use strait_schema::{LinkCounts, Record, Role};

use crate::text::format::bits;

/// How far likelihoods may be apart where a cache is compressed: its sums are made in other steps.
const TOLERANCE: f64 = 1e-9;

/// Earlier releases wrote into a record what they had seen beside it.
const EARLIER: &str = "every window has the same likelihood as";

/// The warnings of a record on its own.
pub(crate) fn own_warnings(record: &Record) -> Vec<String> {
    let own = record.warnings.iter().filter(|warning| !warning.starts_with(EARLIER));
    own.cloned().collect()
}

/// For every record a warning about those that it agrees with, if there are any.
pub(crate) fn warnings(records: &[Record]) -> Vec<Option<String>> {
    let mut others: Vec<Vec<usize>> = vec![Vec::new(); records.len()];
    let mut candidates: Vec<usize> =
        (0..records.len()).filter(|&at| changes(&records[at])).collect();
    // Those that may agree are neighbours, so thousands of records take no longer than to sort them.
    candidates.sort_by(|&a, &b| first(&records[a]).total_cmp(&first(&records[b])).then(a.cmp(&b)));
    for (place, &a) in candidates.iter().enumerate() {
        for &b in &candidates[place + 1..] {
            if !close(first(&records[a]), first(&records[b]), TOLERANCE) {
                break;
            }
            if agree(&records[a], &records[b]) {
                others[a].push(b);
                others[b].push(a);
            }
        }
    }
    let warning = |(at, mut others): (usize, Vec<usize>)| {
        others.sort_unstable();
        let (other, more) = (&records[*others.first()?], others.len() - 1);
        let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let (this, that) = (kept(&records[at]), kept(other));
        let kept = if this == that {
            format!("both keep {this}")
        } else {
            format!("this one keeps {this}, the other {that}")
        };
        Some(format!("{EARLIER} {:?}{and_more}: {kept}", other.label))
    };
    others.into_iter().enumerate().map(warning).collect()
}

/// For every record a warning if it was compared with another run of the baseline than that which stands beside it: both
/// are right, but the difference between their rows is not what the record measured.
pub(crate) fn other_baselines(records: &[Record]) -> Vec<Option<String>> {
    let shown: Vec<&Record> =
        records.iter().filter(|record| record.cell.is_baseline() && record.is_finished()).collect();
    let warning = |record: &Record| {
        let compared = record.is_finished() && !record.cell.is_baseline();
        let mut own =
            shown.iter().filter(|base| compared && is_baseline_of(base, record)).peekable();
        let first = own.peek().map(|base| differing(base, record))?;
        let (windows, all) = (first, record.windows.len());
        own.all(|base| differing(base, record) > 0).then(|| {
            format!(
                "compared with another run of the baseline than the one shown, which differs in {windows} of {all} windows"
            )
        })
    };
    records.iter().map(warning).collect()
}

/// Whether a baseline is of the model and the protocol that a cell is compared on.
fn is_baseline_of(base: &Record, record: &Record) -> bool {
    let (model, own) = (&base.cell.model, &record.cell.model);
    base.cell.protocol.fingerprint == record.cell.protocol.fingerprint
        && match record.cell.reference() {
            Some(id) => base.id == id,
            None => {
                let same = (model.dtype, model.load_in) == (own.dtype, own.load_in);
                same && model.files.values().eq(own.files.values())
            }
        }
}

/// Windows in which the likelihood of a baseline is not, bit for bit, what a cell was compared with.
fn differing(base: &Record, record: &Record) -> usize {
    let same = base.windows.iter().zip(&record.windows);
    let same = same.filter(|(base, own)| base.sums.a.to_bits() == own.sums.b.to_bits()).count();
    record.windows.len().saturating_sub(same)
}

/// Whether a cell changed what it worked on. A press changes no value, but leaves some out.
fn changes(record: &Record) -> bool {
    let role = record.cell.kind.role();
    let changed = |link: &LinkCounts| {
        link.distortion.max_abs != 0.0 || role == Role::Cache && link.payload_bytes < link.raw_bytes
    };
    record.is_finished()
        && matches!(role, Role::Links | Role::Cache)
        && !record.windows.is_empty()
        && record.links.iter().any(changed)
}

/// Whether two different cells have one likelihood in every window.
fn agree(a: &Record, b: &Record) -> bool {
    let cached = [a, b].iter().any(|record| record.cell.kind.role() == Role::Cache);
    let tolerance = if cached { TOLERANCE } else { 0.0 };
    let mut windows = a.windows.iter().zip(&b.windows);
    a.id != b.id
        && a.cell.protocol.fingerprint == b.cell.protocol.fingerprint
        && a.windows.len() == b.windows.len()
        && windows.all(|(a, b)| close(a.sums.a, b.sums.a, tolerance))
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs()
}

/// The likelihood of the first window.
fn first(record: &Record) -> f64 {
    record.windows.first().map_or(f64::INFINITY, |window| window.sums.a)
}

/// What a cell sends or keeps.
fn kept(record: &Record) -> String {
    let sum = |count: fn(&LinkCounts) -> u64| record.links.iter().map(count).sum::<u64>() as f64;
    let payload = sum(|link| link.payload_bytes);
    match record.cell.kind.role() {
        Role::Cache => {
            format!("{:.1} % of the cache's bytes", 100.0 * payload / sum(|link| link.raw_bytes))
        }
        _ => format!("{} bits a value", bits(8.0 * payload / sum(|link| link.values))),
    }
}
