//! What `strait reproduce` says.

use strait_report::Reproduction;
use strait_schema::{CellKind, Environment, Record};

use crate::figures::record;

/// A record and what came of it elsewhere.
fn pair() -> (Record, Record) {
    let mut recorded = record("int8 g64", "affine", 8.25, 0.0135, 0.009);
    recorded.environment.commit = Some("7c1f".repeat(10));
    recorded.environment.dirty = Some(false);
    let again = recorded.clone();
    (recorded, again)
}

#[test]
fn equal_windows_are_equal_to_the_bit() {
    let (recorded, again) = pair();
    let reproduction = Reproduction::new(&recorded, &again, 0.0);
    assert!(reproduction.is_exact() && reproduction.is_near());
    insta::assert_snapshot!("reproduced", reproduction.text());
}

#[test]
fn digits_and_environment_say_what_differs() {
    let (recorded, mut again) = pair();
    for window in &mut again.windows[10..30] {
        window.sums.a *= 1.0 + 3e-9;
        window.kld_sum *= 1.0 - 2e-6;
    }
    again.windows[12].same_top -= 1;
    again.environment = Environment {
        cpu: "Another Processor with a Name that is Rather Long, at 2.00 GHz".to_owned(),
        threads: 48,
        dirty: Some(true),
        ..again.environment
    };
    let CellKind::Links(codec) = &mut again.cell.kind else { panic!("a codec on links") };
    codec.plugin_sha256 = "ab".repeat(32);
    codec.artifact_sha256 = Some("cd".repeat(32));
    let reproduction = Reproduction::new(&recorded, &again, 1e-7);
    assert!(!reproduction.is_exact() && !reproduction.is_near());
    let text = reproduction.text();
    assert!(
        text.lines().all(|line| line.chars().count() <= 80 || line.contains("cargo")),
        "{text}"
    );
    insta::assert_snapshot!("not_reproduced", text);
    assert!(Reproduction::new(&recorded, &again, 0.01).is_near());
}

#[test]
fn a_cell_that_ended_otherwise_is_not_reproduced() {
    let (recorded, mut again) = pair();
    again.fail("panicked: \u{1b}[31mno");
    again.windows.truncate(2);
    let reproduction = Reproduction::new(&recorded, &again, 1.0);
    assert!(!reproduction.is_near());
    let text = reproduction.text();
    assert!(text.contains("again: failed, panicked: \\u{1b}[31mno"), "{text}");
    assert!(text.ends_with("not reproduced: 63 windows are recorded, 2 came again\n"), "{text}");
    let failed = Reproduction::new(&again, &again, 0.0);
    assert!(failed.is_exact() && failed.text().ends_with("it failed as it is recorded\n"));
}
