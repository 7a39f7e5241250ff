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
    assert!(report.pareto_svg().contains("#009E73"));
    let page = Page::new(&Collection { records: records.to_vec(), ..Collection::default() });
    let html = page.unwrap().html();
    assert_eq!(html.matches("background:var(--f2)").count(), 1);
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

#[test]
fn cells_that_agree_are_seen_when_they_are_read() {
    let mut records = vec![plain("baseline", 0.0, 0.0), record("a", "affine", 4.0, 0.84, 0.041)];
    let twin = |label: &str, bits: f64| {
        let mut twin = record(label, label, bits, 0.84, 0.041);
        twin.windows = records[1].windows.clone();
        twin.warnings = vec![
            "every window has the same likelihood as \"gone\", another codec or setting".to_owned(),
            "its own".to_owned(),
        ];
        twin
    };
    let twins = [twin("b", 4.0), twin("c", 2.0)];
    records.extend(twins);
    // An exact codec agrees with the baseline, and with every other exact one: that is no news.
    for label in ["raw", "lossless"] {
        let mut exact = record(label, label, 32.0, 0.0, 0.0);
        exact.links.iter_mut().for_each(|link| link.distortion.max_abs = 0.0);
        records.push(exact);
    }
    let report = Report::from_records(&records).unwrap();
    let warnings = |label: &str| {
        let row = report.rows.iter().find(|row| row.label == label).unwrap();
        row.warnings.join("; ")
    };
    let same = "every window has the same likelihood as";
    assert_eq!(warnings("a"), format!("{same} \"b\" and 1 more: both keep 4.000 bits a value"));
    assert_eq!(
        warnings("c"),
        format!(
            "its own; {same} \"a\" and 1 more: this one keeps 2.000 bits a value, the other 4.000 bits a value"
        )
    );
    assert_eq!([warnings("raw"), warnings("baseline")], [const { String::new() }; 2]);
    let text = report.terminal(&TableStyle::default());
    assert!(text.contains("warning: b: its own\n"), "{text}");
    assert!(records[1].is_finished() && text.contains("warning: a: every window"), "{text}");
}
