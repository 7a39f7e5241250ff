//! Text from outside: damaged files, edited records, other baselines, and labels that want to be obeyed.

use std::fs;
use std::path::Path;

use strait_report::{Collection, Comparison, Page, Report, TableStyle, watch};
use strait_schema::{CellKind, Record, RunStatus, RunningCell};

use crate::figures::record;

/// Escape sequences, a bell, what turns the line around, markup of every format, a formula, and a placeholder.
const NASTY: &str =
    "=1+1\u{1b}[2J\u{7}\u{9b}31m\u{202e}|`<b onload=x>&{rows}\\end{table}%$_\u{200b}";

fn nasty() -> Vec<Record> {
    let mut baseline = record("baseline", "", 32.0, 0.0, 0.0);
    baseline.cell.kind = CellKind::Baseline;
    let mut cell = record(NASTY, "affine", 8.25, 0.0135, 0.009);
    cell.warnings.push(format!("{NASTY}\nsecond line"));
    cell.cell.model.source = NASTY.to_owned();
    let mut failed = record(&format!("{NASTY} failed"), "affine", 4.0, 1.0, 0.1);
    failed.fail(format!("{NASTY}\n  hint: {NASTY}"));
    failed.experiment = NASTY.to_owned();
    vec![baseline, cell, failed]
}

/// Nothing but line breaks and tabs would be obeyed.
fn assert_shown(text: &str, format: &str) {
    let obeyed = |c: &char| {
        c.is_control() && !['\n', '\t'].contains(c) || ['\u{202e}', '\u{200b}'].contains(c)
    };
    assert_eq!(text.chars().find(obeyed), None, "{format}:\n{text}");
}

#[test]
fn text_from_outside_is_shown_and_not_obeyed() {
    let records = nasty();
    let report = Report::from_records(&records).unwrap();
    let table = report.terminal(&TableStyle::default());
    let compared =
        Comparison::text(&Comparison::of_results(&records[..1], &records[1..2]).unwrap());
    let status = RunStatus {
        experiment: NASTY.to_owned(),
        cells: vec![RunningCell {
            label: NASTY.to_owned(),
            reason: Some(NASTY.to_owned()),
            ..RunningCell::default()
        }],
        ..RunStatus::default()
    };
    let collection = Collection { notes: vec![NASTY.to_owned()], records, ..Collection::default() };
    let page = Page::new(&collection).unwrap();
    for (format, text) in [
        ("terminal", table.clone()),
        ("compare", compared),
        ("markdown", report.markdown()),
        ("latex", report.latex()),
        ("csv", report.csv()),
        ("svg", report.pareto_svg()),
        ("watch", watch(&status, 80)),
        // The libraries behind it have characters of their own.
        ("page", page.html().split("<script>").next().unwrap().to_owned()),
    ] {
        assert_shown(&text, format);
    }
    assert!(table.contains("=1+1\\u{1b}[2J"), "{table}");
    assert!(table.contains("\n  second line") && table.contains("\n  hint: "), "{table}");

    let markdown = report.markdown();
    let cells: Vec<&str> = markdown.lines().filter(|line| line.starts_with("| ")).collect();
    let columns = |line: &str| line.replace("\\|", "").matches('|').count();
    assert!(cells[..3].iter().all(|line| columns(line) == 10), "{markdown}");
    assert!(
        !markdown.contains("<b")
            || markdown.matches("<b").count() == markdown.matches("\\<b").count()
    );
    // A failed cell stands in a comment, of one line.
    let latex = report.latex();
    let set = latex.lines().filter(|line| !line.starts_with('%'));
    assert_eq!(set.filter(|line| line.contains("\\end{table}")).count(), 1, "{latex}");
    for line in report.csv().lines() {
        assert!(!line.starts_with('='), "{line}");
    }
    assert!(report.csv().contains("'=1+1"), "{}", report.csv());

    let html = page.html();
    assert!(!html.contains("<b onload") && html.contains("&amp;{rows}"));
    assert_eq!(html.matches("<tr id=\"row-").count(), 3, "a label is no place for rows");
}

#[test]
fn damaged_records_are_named_and_other_files_left_alone() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results/smollm2");
    let whole = fs::read_dir(&results).unwrap().map(|entry| entry.unwrap().path());
    let whole: Vec<_> =
        whole.filter(|path| path.extension().is_some_and(|end| end == "json")).take(2).collect();
    let dir = tempfile::tempdir().unwrap();
    let name = |at: usize| dir.path().join(whole[at].file_name().unwrap());
    fs::copy(&whole[0], name(0)).unwrap();
    let text = fs::read(&whole[1]).unwrap();
    fs::write(dir.path().join("notes.json"), "{\"mine\": 1}").unwrap();
    fs::write(dir.path().join("list.json"), "[1, 2]").unwrap();
    let other_schema =
        String::from_utf8(text.clone()).unwrap().replacen("\"schema\": 1", "\"schema\": 9", 1);
    let nan = String::from_utf8(text.clone()).unwrap().replacen("\"dd\": ", "\"dd\": NaN", 1);
    for damaged in [
        &text[..text.len() / 2],
        b"",
        b"\0\xff\x01",
        b"{}",
        b"null",
        nan.as_bytes(),
        other_schema.as_bytes(),
    ] {
        fs::write(name(1), damaged).unwrap();
        let collection = Collection::load(&[dir.path().to_owned()]).unwrap();
        assert_eq!(collection.records.len(), 1);
        let [note] = &collection.notes[..] else { panic!("{:?}", collection.notes) };
        let file = name(1).display().to_string();
        assert!(note.starts_with("left out: ") && note.contains(&file), "{note}");
        let html = Page::new(&collection).unwrap().html();
        assert!(html.contains("<p class=\"note\">left out: "));
    }
}

#[test]
fn another_run_of_the_baseline_is_told() {
    let mut records = nasty();
    records.truncate(2);
    records[1].label = "int8".to_owned();
    records[1].cell.model = records[0].cell.model.clone();
    records[1].warnings.clear();
    let warnings = |records: &[Record]| {
        let rows = Report::from_records(records).unwrap().rows;
        rows.into_iter().flat_map(|row| row.warnings).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&records), [""; 0]);
    let a = &mut records[0].windows[5].sums.a;
    *a = f64::from_bits(a.to_bits() + 1);
    let [warning] = &warnings(&records)[..] else { panic!("expected one warning") };
    let expected =
        "another run of the baseline than the one shown, which differs in 1 of 63 windows";
    assert!(warning.ends_with(expected), "{warning}");
    // The baseline that it was compared with stands there too.
    let mut both = records.clone();
    let a = &mut records[0].windows[5].sums.a;
    *a = f64::from_bits(a.to_bits() - 1);
    records[0].label = "baseline again".to_owned();
    both.push(records[0].clone());
    assert_eq!(warnings(&both), [""; 0]);
}
