//! Pictures, LaTeX, JSON, comparisons, results of other programs, and the live page.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use strait_report::{Collection, Comparison, Picture, Report, XAxis, YAxis, import, serve};
use strait_schema::{ImportedSite, Record};

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

fn results() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results/smollm2")
}

fn committed() -> Vec<Record> {
    Collection::load(&[results()]).unwrap().records
}

fn named(label: &str) -> Record {
    committed().into_iter().find(|record| record.label == label).unwrap()
}

fn report() -> Report {
    Report::from_records(&committed()).unwrap()
}

#[test]
fn the_latex_table() {
    insta::assert_snapshot!(report().latex());
}

#[test]
fn json_has_the_figures_of_the_csv() {
    let report = report();
    let value: Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(value["rows"].as_array().unwrap().len(), report.rows.len());
    let row =
        value["rows"].as_array().unwrap().iter().find(|row| row["label"] == "int8 g64").unwrap();
    let expected = report.rows.iter().find(|row| row.label == "int8 g64").unwrap();
    assert_eq!(row["ppl"].as_f64(), expected.ppl);
    assert_eq!((&row["on_front"], &row["state"]), (&Value::Bool(true), &"finished".into()));
    assert_eq!(row["reason"], Value::Null);
}

#[test]
fn pictures_of_both_axes() {
    let report = report();
    for (x, y, words) in [
        (XAxis::Bytes, YAxis::Perplexity, ["bytes per token and link", "ΔPPL, perplexity above"]),
        (XAxis::Bits, YAxis::Divergence, ["bits per value on the links", "mean divergence from"]),
    ] {
        let svg = report.picture_svg(&Picture { x, y, bare: true, most: None });
        assert!(words.iter().all(|word| svg.contains(word)), "{x:?} {y:?}");
        assert!(!svg.contains("NaN") && !svg.contains("inf\""));
        assert!(!svg.contains("tokens scored"), "a bare picture has no title");
        for label in ["int8 g64", "fp4", "nf4 absmax nested8"] {
            assert!(svg.contains(&format!(">{label}</text>")), "{label} has no label");
        }
    }
}

#[test]
fn cells_above_the_limit_are_counted_and_not_drawn() {
    let report = report();
    let losses = report.rows.iter().filter_map(|row| row.ppl_delta.map(|loss| (&row.label, loss)));
    let most = 2.0;
    let above: Vec<&String> =
        losses.filter(|(_, loss)| *loss > most).map(|(label, _)| label).collect();
    assert!(!above.is_empty() && above.len() + 1 < report.rows.len());
    let svg = report.picture_svg(&Picture {
        most: Some(most),
        y: YAxis::Perplexity,
        ..Picture::default()
    });
    assert!(above.iter().all(|label| !svg.contains(&format!(">{label}</text>"))), "{above:?}");
    assert!(svg.contains(&format!("{} cells above 2 not shown", above.len())), "{svg}");
    let whole = report.picture_svg(&Picture { y: YAxis::Perplexity, ..Picture::default() });
    assert!(!whole.contains("not shown"));
}

#[test]
fn a_png_has_pixels_of_every_family() {
    let png = report().picture_png(&Picture::default(), 1.0).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let side = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|i| png[at + i]));
    assert_eq!((side(16), side(20)), (960, 600));
    let large = report().picture_png(&Picture::default(), 2.0).unwrap();
    assert!(large.len() > png.len());
    // Text is drawn: without it the file is far smaller.
    let mut empty = report();
    empty.rows.clear();
    assert!(empty.picture_png(&Picture::default(), 1.0).unwrap().len() * 2 < png.len());
    assert!(report().picture_png(&Picture::default(), 1e6).is_err());
}

#[test]
fn a_comparison_is_that_of_the_records() {
    let (a, b) = (named("nf4 absmax f32"), named("int4 g64"));
    let comparison = Comparison::new(&a, &b).unwrap();
    let ppl = |record: &Record| record.scores.as_ref().unwrap().sums.summary().ppl;
    assert!((comparison.ppl.value - (ppl(&b) - ppl(&a))).abs() < 1e-6);
    let kld = |record: &Record| record.scores.as_ref().unwrap().kld.mean;
    assert!((comparison.kld.value - (kld(&b) - kld(&a))).abs() < 1e-6);
    assert!(comparison.ppl.low.unwrap() < comparison.ppl.value);
    // The other way round it is the same with the other sign, and as likely.
    let back = Comparison::new(&b, &a).unwrap();
    assert!((back.ppl.value + comparison.ppl.value).abs() < 1e-9);
    assert!((back.kld.p.unwrap() - comparison.kld.p.unwrap()).abs() < 1e-12);
    // Far apart is significant, equal is not.
    let far = Comparison::new(&a, &named("int2 g64")).unwrap();
    assert!(far.ppl.p.unwrap() < 1e-4);
    let same = Comparison::new(&a, &a).unwrap();
    assert_eq!((same.ppl.value, same.ppl.p), (0.0, Some(1.0)));
    insta::assert_snapshot!(Comparison::text(&[comparison, far]));
}

#[test]
fn what_does_not_compare_is_refused() {
    let (a, mut b) = (named("int8 g64"), named("int4 g64"));
    b.cell.protocol.fingerprint = "0000000000000000".to_owned();
    b.cell.protocol.window = 512;
    let error = Comparison::new(&a, &b).unwrap_err().to_string();
    assert!(error.contains("fingerprint") && error.contains("window 2048 and 512"), "{error}");
    let mut failed = named("int4 g64");
    failed.fail("it broke");
    assert!(Comparison::new(&a, &failed).unwrap_err().to_string().contains("it broke"));
    let mut short = named("int4 g64");
    short.windows.pop();
    assert!(Comparison::new(&a, &short).unwrap_err().to_string().contains("windows"));
    let error = Comparison::of_results(&committed(), &[]).unwrap_err().to_string();
    assert!(error.contains("none"), "{error}");
}

#[test]
fn results_of_other_programs() {
    let (split, notes) = import(&[data("split-bench")]).unwrap();
    assert_eq!((split.len(), notes.len()), (2, 0));
    let nf4 = split.iter().find(|result| !result.baseline).unwrap();
    assert_eq!((nf4.label.as_str(), nf4.family.as_str()), ("bnb_nf4", "bnb"));
    assert_eq!((nf4.ppl, nf4.scored_tokens), (7.195786018968723, Some(9999)));
    // 2880 of 10240 bytes of 16-bit values: NF4 with blocks of 64 and an f32 absmax.
    assert!((nf4.bits_per_value.unwrap() - 4.5).abs() < 1e-4);
    let (kv, _) = import(&[data("kvpress.json")]).unwrap();
    assert_eq!((kv[0].label.as_str(), kv[0].site), ("knorm ratio 0.7", ImportedSite::Kv));
    assert!((kv[0].bits_per_value.unwrap() - 4.8).abs() < 1e-9);
    let (weights, _) = import(&[data("compare_q.json")]).unwrap();
    assert_eq!((weights[1].family.as_str(), weights[1].bits_per_value), ("exl3", Some(4.0)));
    assert!(weights[0].baseline && weights[1].kld == Some(0.02));

    // In one table with records: marked, compared with their own baseline, never on the front.
    let all: Vec<_> = [split, kv, weights].concat();
    let report = report().with_imported(&all);
    let row = report.rows.iter().find(|row| row.label == "bnb_nf4").unwrap();
    assert!((row.ppl_delta.unwrap() - 0.0455).abs() < 1e-4 && row.ppl_delta_error.is_none());
    assert!(!row.on_front && row.state() == "imported");
    assert!(report.latex().contains("bnb\\_nf4$^\\dagger$"));
    assert!(report.markdown().contains("bnb\\_nf4†"));
    assert!(report.terminal(&strait_report::TableStyle::default()).contains("† imported"));
    assert!(
        report
            .picture_svg(&Picture { y: YAxis::Perplexity, ..Picture::default() })
            .contains("hollow: imported")
    );
    // And through files.
    let dir = tempfile::tempdir().unwrap();
    for result in &all {
        result.save(dir.path().join(result.file_name())).unwrap();
    }
    assert_eq!(Collection::load(&[dir.path().to_owned()]).unwrap().imported.len(), all.len());
}

#[test]
fn what_cannot_be_imported_is_said() {
    let error = import(&[results()]).unwrap();
    assert!(error.0.is_empty() && error.1.len() == 16, "{:?}", error.1);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("null.json");
    std::fs::write(
        &path,
        "{\"press\": \"no_press\", \"model\": \"m\", \"dataset\": \"d\", \"ppl\": null}",
    )
    .unwrap();
    let error = import(&[path]).unwrap_err().to_string();
    assert!(error.contains("null.json") && error.contains("no perplexity"), "{error}");
}

fn ask(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_live_page_is_served_to_this_machine_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let server = scope.spawn(|| serve(&listener, &[results()], &stop));
        let get = |path: &str, host: &str| {
            ask(port, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        };
        let page = get("/", &format!("127.0.0.1:{port}"));
        assert!(
            page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("data-live=\"live.json\"")
        );
        let live = get("/live.json", &format!("localhost:{port}"));
        let body = live.split_once("\r\n\r\n").unwrap().1;
        let value: Value = serde_json::from_str(body).unwrap();
        assert_eq!(value["data"]["cells"].as_array().unwrap().len(), 16);
        assert!(get("/live.json", "evil.example").starts_with("HTTP/1.1 403"));
        assert!(get("/../Cargo.toml", "localhost").starts_with("HTTP/1.1 404"));
        assert!(
            ask(port, "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n").starts_with("HTTP/1.1 405")
        );
        stop.store(true, Ordering::Relaxed);
        server.join().unwrap().unwrap();
    });
}

#[test]
fn a_visitor_who_dawdles_keeps_nobody_waiting_and_what_is_unchanged_is_not_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let record = |at: usize| {
        let files = std::fs::read_dir(results()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
        files.sort();
        std::fs::copy(&files[at], dir.path().join(files[at].file_name().unwrap())).unwrap();
    };
    record(0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let server = scope.spawn(|| serve(&listener, &[dir.path().to_owned()], &stop));
        let mut slow = TcpStream::connect(("127.0.0.1", port)).unwrap();
        slow.write_all(b"GET /").unwrap();
        let get = |known: &str| {
            let request = format!(
                "GET /live.json HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {known}\r\n\r\n"
            );
            ask(port, &request)
        };
        let first = get("");
        let tag = first.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap().to_owned();
        assert!(first.starts_with("HTTP/1.1 200") && tag.len() == 34, "{tag}");
        let same = get(&tag);
        assert!(same.starts_with("HTTP/1.1 304 Not Modified\r\n") && same.ends_with("\r\n\r\n"));
        record(1);
        assert!(get(&tag).starts_with("HTTP/1.1 200"));
        // The connection of the one who has not asked in time ends.
        let mut answer = String::new();
        let ended = slow.read_to_string(&mut answer);
        assert!(
            ended.is_err() || answer.is_empty() || answer.starts_with("HTTP/1.1 403"),
            "{answer}"
        );
        stop.store(true, Ordering::Relaxed);
        server.join().unwrap().unwrap();
    });
}

#[cfg(unix)]
#[test]
fn pipes_and_links_in_a_circle_hold_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    for (at, place) in
        [inside.join("up"), inside.join("again"), dir.path().join("self")].iter().enumerate()
    {
        let to = if at == 1 { &inside } else { dir.path() };
        std::os::unix::fs::symlink(to, place).unwrap();
    }
    for pipe in [dir.path().join("pipe-0123456789ab.json"), inside.join("pipe.json")] {
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    }
    let found = Collection::load(&[dir.path().to_owned()]).unwrap();
    assert!(found.is_empty() && found.notes.is_empty(), "{:?}", found.notes);
    let error = Collection::load(&[inside.join("pipe.json")]).unwrap_err().to_string();
    assert!(error.contains("neither a file nor a folder"), "{error}");
}
