//! The arithmetic of the figures, on made-up sittings.

use serde_json::json;

use super::*;
use crate::bench_peers::job::JOBS;

fn sitting(seconds: f64, scores: &[(&str, f64)]) -> Sitting {
    let score =
        |(label, nll): &(&str, f64)| Score { label: (*label).to_owned(), nll: *nll, scored: 100 };
    Sitting { seconds, scores: scores.iter().map(score).collect() }
}

fn round(peer_s: f64, strait_s: f64, scored_only_s: Option<f64>) -> Round {
    let empty = |seconds| sitting(seconds, &[]);
    Round::new(&empty(strait_s), &empty(peer_s), scored_only_s.map(empty).as_ref())
}

#[test]
fn a_median_is_the_middle_value_or_the_mean_of_two() {
    assert_eq!(median([3.0, 1.0, 9.0].into_iter()), 3.0);
    assert_eq!(median([4.0, 1.0, 2.0, 9.0].into_iter()), 3.0);
    assert_eq!(median([7.0].into_iter()), 7.0);
    assert!(median(std::iter::empty()).is_nan());
}

#[test]
fn ratios_are_taken_within_a_round() {
    // A second round in which both are slow must not change the ratio: 2, 2 and 4.
    let rounds =
        vec![round(4.0, 2.0, Some(3.0)), round(20.0, 10.0, Some(10.0)), round(8.0, 2.0, Some(4.0))];
    let result = JobResult::new("one_cell_f32", "a peer", Vec::new(), rounds);
    assert_eq!((result.strait_s, result.peer_s), (2.0, 8.0));
    assert_eq!((result.ratio_median, result.ratio_min, result.ratio_max), (2.0, 2.0, 4.0));
    assert_eq!(result.peer_scored_only_s, Some(4.0));
    assert_eq!(result.ratio_scored_only_median, Some(1.5));
}

#[test]
fn the_file_has_the_names_that_readers_use() {
    let job = &JOBS[2];
    let ours = sitting(2.0, &[(BASELINE, 300.0), ("int8 token", 310.0)]);
    let theirs = sitting(5.0, &[(BASELINE, 300.0), ("int8 token", 310.5)]);
    let cells = agree(job, &ours, &theirs).unwrap();
    let rounds = vec![Round::new(&ours, &theirs, None)];
    let result = JobResult::new(job.name, "a peer", cells, rounds).with_throughput(10);
    let value = serde_json::to_value(result).unwrap();
    for (key, expected) in [
        ("name", json!("eight_codecs_f32")),
        ("strait_s", json!(2.0)),
        ("peer_s", json!(5.0)),
        ("ratio_median", json!(2.5)),
        ("ratio_min", json!(2.5)),
        ("ratio_max", json!(2.5)),
        ("ppl_strait", json!(3.0_f64.exp())),
        ("ppl_peer", json!(3.0_f64.exp())),
        ("strait_tokens_per_s", json!(5.0)),
        ("rounds", json!([{"strait_s": 2.0, "peer_s": 5.0}])),
    ] {
        assert_eq!(value[key], expected, "{key}");
    }
    assert!(value.get("peer_scored_only_s").is_none());
    let deviation = value["largest_deviation"].as_f64().unwrap();
    assert!((deviation - (0.005_f64.exp() - 1.0)).abs() < 1e-12, "{deviation}");
    assert_eq!(value["cells"][1]["label"], "int8 token");
}

#[test]
fn perplexities_apart_are_an_error_that_names_the_cell() {
    let ours = sitting(1.0, &[(BASELINE, 300.0), ("int4 g64", 320.0)]);
    let codec_apart = sitting(1.0, &[(BASELINE, 300.0), ("int4 g64", 321.1)]);
    let error = agree(&JOBS[2], &ours, &codec_apart).unwrap_err().to_string();
    assert!(error.starts_with("int4 g64: strait's perplexity is 24.5325"), "{error}");
    assert!(error.contains("1.1e-2 apart where at most 1e-2 is expected"), "{error}");

    let baseline_apart = sitting(1.0, &[(BASELINE, 300.02), ("int4 g64", 320.0)]);
    assert!(agree(&JOBS[2], &ours, &baseline_apart).is_err());
    assert!(agree(&JOBS[1], &ours, &baseline_apart).is_ok());
}

#[test]
fn other_work_is_an_error() {
    let ours = sitting(1.0, &[(BASELINE, 300.0)]);
    let mut fewer = ours.clone();
    fewer.scores[0].scored = 99;
    let error = agree(&JOBS[0], &ours, &fewer).unwrap_err().to_string();
    assert!(error.contains("strait scores 100 tokens, the peer 99"), "{error}");
    let renamed = sitting(1.0, &[("bf16", 300.0)]);
    assert!(agree(&JOBS[0], &ours, &renamed).is_err());
    let error = agree(&JOBS[0], &ours, &sitting(1.0, &[])).unwrap_err().to_string();
    assert!(error.contains("strait has 1 cells, the peer 0"), "{error}");
}
