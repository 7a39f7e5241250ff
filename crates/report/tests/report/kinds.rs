//! What a row is does not depend on what it is called, and committed tables stay as they are.

use std::path::{Path, PathBuf};

use strait_report::{Collection, Page, Report, TableStyle};
use strait_schema::{Role, RunStatus, RunningCell, RunningFigures};

use super::figures::{plain, record};

#[test]
fn a_codec_called_baseline_is_a_codec() {
    let records = [plain("baseline", 0.0, 0.0), record("mine", "baseline", 4.0, 0.84, 0.041)];
    let report = Report::from_records(&records).unwrap();
    let row = report.rows.iter().find(|row| row.label == "mine").unwrap();
    assert_eq!((row.codec.as_str(), row.is_baseline()), ("baseline", false));
    for text in [report.terminal(&TableStyle::default()), report.markdown(), report.latex()] {
        let line = text.lines().find(|line| line.contains("mine")).unwrap();
        assert!(line.contains("0.84"), "{line}");
    }
    // The baseline is a black diamond; the codec has a colour.
    assert!(report.pareto_svg().contains("#0072B2"));
    let page = Page::new(&Collection { records: records.to_vec(), ..Collection::default() });
    let html = page.unwrap().html();
    assert_eq!(html.matches("\"baseline\":true").count(), 1);
    assert_eq!(html.matches("background:var(--f0)").count(), 1);
    assert_eq!(html.matches("background:var(--ink)").count(), 1);
}

#[test]
fn a_running_codec_called_baseline_has_a_difference() {
    let figures = RunningFigures {
        ppl: Some(46.1),
        ppl_delta: Some(0.0135),
        ppl_delta_error: Some(0.009),
        ..RunningFigures::default()
    };
    let cell = |label: &str, role| RunningCell {
        label: label.to_owned(),
        codec: "baseline".to_owned(),
        role,
        figures: Some(figures),
        ..RunningCell::default()
    };
    let cells = vec![cell("baseline", Role::Baseline), cell("mine", Role::Links)];
    let status = RunStatus { windows: 2, cells, ..RunStatus::default() };
    let text = strait_report::watch(&status, 100);
    let line = |label: &str| text.lines().find(|line| line.starts_with(label)).unwrap();
    assert!(line("mine").contains("+0.0135"), "{text}");
    assert!(!line("baseline").contains("+0.0135"), "{text}");
}

/// The folders of `results/`.
fn folders() -> Vec<PathBuf> {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results");
    let entries = std::fs::read_dir(results).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// Tables that a release with fewer columns wrote.
const EARLIER: [&str; 3] = ["formats", "gemma3", "smollm2"];

#[test]
fn committed_tables_are_those_of_their_records() {
    let mut compared = 0;
    for folder in folders() {
        if EARLIER.iter().any(|name| folder.ends_with(name)) {
            continue;
        }
        let committed = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
        let (Some(table), Some(csv)) = (committed("table.md"), committed("summary.csv")) else {
            continue;
        };
        let records = Collection::load(std::slice::from_ref(&folder)).unwrap().records;
        let report = Report::from_records(&records).unwrap();
        assert_eq!(report.markdown(), table, "{}", folder.display());
        assert_eq!(report.csv(), csv, "{}", folder.display());
        compared += 1;
    }
    assert!(compared >= 9, "{compared} folders");
}
