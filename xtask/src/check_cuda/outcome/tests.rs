//! Records, texts and tables that agree, and ways in which they do not.

use serde_json::json;

use super::super::rows;
use super::*;

fn row() -> Row {
    rows::all(false).into_iter().find(|row| row.name == "links f32").unwrap()
}

fn cell(label: &str, nll: f64, kld: f64) -> Value {
    json!({
        "id": label,
        "label": label,
        "reason": null,
        "scores": {"sums": {"n": 100, "a": nll, "b": 400.0}, "kld": {"mean": kld}},
        "windows": [{"sums": {"n": 60, "a": nll * 0.5}}, {"sums": {"n": 40, "a": nll * 0.5}}],
        "links": [{"tokens": 128, "messages": 2, "raw_bytes": 512, "payload_bytes": 99}],
        "environment": {"device": "cuda:0 Emulated sm_80"},
    })
}

fn cells(records: &[Value]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    for (index, record) in records.iter().enumerate() {
        fs::write(folder.path().join(format!("{index}.json")), record.to_string()).unwrap();
    }
    fs::write(folder.path().join("summary.csv"), "label\n").unwrap();
    Outcome::records(folder.path()).unwrap()
}

fn values(found: &Outcome, expected: &Outcome) -> Vec<f64> {
    let measures = found.differences(expected, &row()).unwrap();
    measures.iter().map(|measure| measure.value).collect()
}

fn error(found: &Outcome, expected: &Outcome) -> String {
    format!("{:#}", found.differences(expected, &row()).unwrap_err())
}

#[test]
fn cells_are_compared_by_window_perplexity_and_divergence() {
    let expected = cells(&[cell("baseline", 400.0, 0.0), cell("int4", 410.0, 0.01)]);
    assert_eq!(values(&expected, &expected), [0.0; 4]);
    let found = cells(&[cell("baseline", 400.2, 0.0), cell("int4", 411.0, 0.0102)]);
    let [exact, ppl, kld, 0.0] = values(&found, &expected)[..] else { panic!() };
    assert!((exact - 0.1 / 40.0).abs() < 1e-12, "{exact}");
    assert!((ppl - 0.01_f64.exp_m1()).abs() < 1e-12, "{ppl}");
    assert!((kld - 0.0002 / 0.0101).abs() < 1e-12, "{kld}");
    assert_eq!(found.device().as_deref(), Some("cuda:0 Emulated sm_80"));
    assert_eq!(found.lines(&expected).len(), 2);
}

#[test]
fn a_number_that_is_none_is_no_agreement() {
    let expected = cells(&[cell("baseline", 400.0, 0.0)]);
    let mut broken = cell("baseline", 400.0, 0.0);
    broken["scores"]["kld"]["mean"] = json!(f64::MAX);
    let found = cells(&[broken]);
    let measures = found.differences(&expected, &row()).unwrap();
    assert!(measures[2].value > measures[2].allowed);
    assert!(largest(1.0, f64::NAN).is_nan() && largest(f64::NAN, 1.0).is_nan());
}

#[test]
fn cells_that_failed_or_measured_something_else_are_errors() {
    let expected = cells(&[cell("baseline", 400.0, 0.0)]);
    let mut failed = cell("baseline", 400.0, 0.0);
    failed["scores"] = Value::Null;
    failed["reason"] = json!("not finite");
    assert_eq!(error(&cells(&[failed]), &expected), "baseline: failed: not finite");
    let other = cells(&[cell("baseline", 400.0, 0.0), cell("raw", 400.0, 0.0)]);
    assert!(error(&other, &expected).contains("expected [\"baseline\"]"));
    let mut shorter = cell("baseline", 400.0, 0.0);
    shorter["links"][0]["tokens"] = json!(127);
    assert_eq!(error(&cells(&[shorter]), &expected), "baseline: other messages crossed");
    let folder = tempfile::tempdir().unwrap();
    let empty = Outcome::records(folder.path()).unwrap_err().to_string();
    assert!(empty.ends_with("no records"), "{empty}");
}

#[test]
fn speed_has_times_and_memory() {
    let with = |peak: Value, decode: f64| {
        let mut cell = cell("baseline", 400.0, 0.0);
        cell["speed"] = json!([{
            "prefill_s": [0.1], "decode_s": [decode], "cache_bytes": 64, "peak_bytes": peak,
        }]);
        cells(&[cell])
    };
    let expected = with(json!(1000), 0.2);
    assert!(with(json!(5), 0.3).check_speed(&expected).is_ok());
    let said = |outcome: Outcome| outcome.check_speed(&expected).unwrap_err().to_string();
    assert_eq!(said(with(Value::Null, 0.3)), "baseline: the device's memory is not told");
    assert!(said(with(json!(5), 0.0)).contains("times of [0.1, 0.0]"));
    assert!(said(cells(&[cell("baseline", 400.0, 0.0)])).contains("no speed"));
}

#[test]
fn text_is_the_same_to_the_last_token_in_f32() {
    let text = |tokens: &[u64]| {
        Outcome::text(&json!({"tokens": tokens, "cache_bytes": 8}).to_string()).unwrap()
    };
    let differences =
        text(&[1, 2, 9, 4]).differences(&text(&[1, 2, 3, 4]), &row()).unwrap().remove(0);
    assert_eq!((differences.value, differences.allowed), (2.0, 0.0));
    assert!(Outcome::text("{}").is_err());
}

#[test]
fn numbers_are_compared_file_by_file() {
    let read = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.csv"), text).unwrap();
        Outcome::numbers(folder.path(), "csv").unwrap()
    };
    let expected = read("layer,x\n0,1.5\n1,-2e1\n");
    assert_eq!(values(&expected, &expected), [0.0]);
    assert_eq!(values(&read("layer,x\n0,2.5\n1,-2e1\n"), &expected), [0.05]);
    assert_eq!(error(&read("layer,x\n0,1.5\n"), &expected), "a.csv: 2 numbers, expected 4");
}
