//! What people and programs read of a run: table, Markdown, CSV and picture of a dozen cells with
//! the figures such cells have.

use std::path::Path;

use strait_report::{Picture, Report, TableStyle};
use strait_schema::{CellKind, PairedSums, Record, Status};

const BASE_PPL: f64 = 46.087_04;
const N: u64 = 16_383;

/// The schema crate's example record, to be filled with other figures.
fn example() -> Record {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/tests/record.json");
    Record::load(path).unwrap()
}

/// A record with these figures; error is that of the difference.
pub(crate) fn record(label: &str, codec: &str, bits: f64, delta: f64, error: f64) -> Record {
    let mut record = example();
    record.experiment = "quickstart".to_owned();
    record.label = label.to_owned();
    let n = N as f64;
    let (b, d) = (BASE_PPL.ln(), (delta / BASE_PPL).ln_1p());
    let variance = (error / (BASE_PPL + delta)).powi(2) * (n - 1.0);
    let scores = record.scores.as_mut().unwrap();
    scores.sums.n = N;
    scores.sums.b = n * b;
    scores.sums.a = n * (b + d);
    scores.sums.bb = n * (b * b + 8.0);
    scores.sums.d = n * d;
    scores.sums.dd = n * (variance + d * d);
    scores.sums.bd = n * b * d;
    scores.kld.mean = (delta.abs() / BASE_PPL * 0.8).min(9.0);
    scores.kld.error = scores.kld.mean / 40.0;
    scores.kld.median = scores.kld.mean / 3.0;
    scores.kld.p99 = scores.kld.mean * 9.0;
    scores.confidence.as_mut().unwrap()[4].kld.mean = scores.kld.mean / 20.0;
    let shift = scores.shift.as_mut().unwrap();
    shift.n = N;
    shift.sum = -0.01 * n * scores.kld.mean;
    shift.squares = 0.1 * n * scores.kld.mean;
    shift.fourths = 0.03 * n * scores.kld.mean;
    scores.agreement.n = N;
    let agree = 1.0 - (0.5 * scores.kld.mean.sqrt()).min(0.9);
    scores.agreement.same = (n * agree).round() as u64;
    // Windows that scatter around the sums: the bootstrap sees no more than these.
    let (sums, kld) = (scores.sums, scores.kld.mean);
    record.windows = (0..63)
        .map(|index| {
            let mut window = record.windows[0].clone();
            let off = f64::from(index as u32 * 29 % 63) - 31.0;
            let part = |sum: f64| sum / 63.0;
            let d = part(sums.d) + off * error / BASE_PPL * n / 63.0 / 4.0;
            window.index = index;
            window.scored = N / 63;
            window.kld_sum = kld * window.scored as f64;
            window.sums = PairedSums { n: N / 63, a: part(sums.b) + d, b: part(sums.b), d, ..sums };
            window
        })
        .collect();
    record.cell.data.scored_bytes = Some(N * 4);
    let tokens = 64_u64 * 512;
    for link in &mut record.links {
        link.messages = 64;
        link.tokens = tokens;
        link.values = tokens * 192;
        link.raw_bytes = link.values * 4;
        link.payload_bytes = (link.values as f64 * bits / 8.0).round() as u64;
        link.encode_s = 0.011 + bits / 3000.0;
        link.decode_s = 0.007;
    }
    let CellKind::Links(compressor) = &mut record.cell.kind else { panic!("no codec") };
    compressor.codec = codec.to_owned();
    record.id = record.cell.identity();
    record
}

/// The record of a cell that compresses nothing on its links.
pub(crate) fn plain(label: &str, delta: f64, error: f64) -> Record {
    let mut record = record(label, "none", 32.0, delta, error);
    record.cell.kind = CellKind::Baseline;
    for link in &mut record.links {
        (link.encode_s, link.decode_s) = (0.0, 0.0);
        link.distortion.squared_error = 0.0;
    }
    record.id = record.cell.identity();
    record
}

pub(crate) fn records() -> Vec<Record> {
    let mut records = vec![
        plain("baseline", 0.0, 0.0),
        record("raw", "raw", 32.0, 0.0, 0.0),
        record("f16", "cast", 16.0, -0.000_31, 0.000_42),
        record("bf16", "cast", 16.0, 0.0021, 0.0035),
        record("fp8_e4m3 token", "cast", 8.1667, 0.087, 0.013),
        record("int8 token", "affine", 8.125, 0.0455, 0.0082),
        record("int4 token", "affine", 4.125, 812.0, 34.0),
        record("int8 g64", "affine", 8.375, 0.0093, 0.0041),
        record("int6 g64", "affine", 6.375, 0.061, 0.0093),
        record("int4 g64", "affine", 4.375, 0.84, 0.041),
        record("int3 g64", "affine", 3.375, 5.21, 0.12),
        record("int2 g64", "affine", 2.375, 4987.0, 211.0),
        record("nf4 absmax f32", "blockfloat", 4.5, 0.512, 0.031),
        record("nf4 absmax f16", "blockfloat", 4.25, 0.513, 0.031),
        record("nf4 absmax nested8", "blockfloat", 4.127, 0.521, 0.032),
        record("fp4", "blockfloat", 4.25, 0.93, 0.045),
    ];
    let mut failed = record("int1 g64", "affine", 1.375, 1.0, 1.0);
    failed.fail("libstrait_affine.so: encode of window 3 on link after:2 node1->node2 panicked: index out of range");
    records.push(failed);
    records[5].warnings.push("same NLL to the last bit as another cell".to_owned());
    records.swap(1, 9);
    records
}

#[test]
fn table() {
    let report = Report::from_records(&records()).unwrap();
    let text = report.terminal(&TableStyle::default());
    assert!(
        text.lines()
            .take_while(|line| !line.contains("no other cell"))
            .all(|line| line.chars().count() <= 100)
    );
    insta::assert_snapshot!("table", text);
    for width in [76, 80, 90, 120] {
        let text = report.terminal(&TableStyle { width, color: false });
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= width, "{longest} columns of {width}:\n{text}");
    }
    insta::assert_snapshot!("narrow", report.terminal(&TableStyle { width: 80, color: false }));
    let color = report.terminal(&TableStyle { color: true, ..TableStyle::default() });
    assert!(color.contains("\x1b[31m") && color.contains("\x1b[1m"));
    assert!(!text.contains('\x1b'));
}

#[test]
fn markdown() {
    insta::assert_snapshot!(Report::from_records(&records()).unwrap().markdown());
}

#[test]
fn csv() {
    let csv = Report::from_records(&records()).unwrap().csv();
    let mut columns = csv.lines().next().unwrap().split(',');
    let promised = "label,codec,status,ppl,ppl_delta,ppl_delta_error,kld_mean,top1_agreement,\
                    bytes_per_token,bits_per_value,encode_s,decode_s,scored_tokens";
    for name in promised.split(',') {
        assert_eq!(columns.next(), Some(name));
    }
    insta::assert_snapshot!(csv);
}

#[test]
fn figures_are_the_records() {
    let report = Report::from_records(&[record("x", "affine", 4.25, 0.5, 0.03)]).unwrap();
    let row = &report.rows[0];
    let near = |value: Option<f64>, expected: f64| {
        let value = value.unwrap();
        assert!((value / expected - 1.0).abs() < 1e-6, "{value} for {expected}");
    };
    near(row.ppl, BASE_PPL + 0.5);
    near(row.ppl_delta, 0.5);
    near(row.bits_per_value, 4.25);
    near(row.bits_per_byte, (BASE_PPL + 0.5).log2() / 4.0);
    near(row.kld_confident, row.kld_mean.unwrap() / 20.0);
    near(row.shift_rms, (0.1 * row.kld_mean.unwrap()).sqrt());
    let interval = row.ppl_delta_interval.unwrap();
    assert!(interval.low < 0.5 && interval.high > 0.5, "{interval:?}");
    assert!((0.02..0.5).contains(&(interval.high - interval.low)), "{interval:?}");
    near(row.bytes_per_token, 4.25 / 8.0 * 192.0);
    near(row.encode_s, 4.0 * (0.011 + 4.25 / 3000.0));
    near(row.decode_mb_per_s, 64.0 * 512.0 * 192.0 * 4.0 / 0.007 / 1e6);
    assert_eq!((row.scored_tokens, row.status), (N, Status::Finished));
}

/// Records of earlier releases have none of the newer fields.
#[test]
fn what_was_not_recorded_is_left_out() {
    let mut old = record("x", "affine", 4.25, 0.5, 0.03);
    old.cell.data.scored_bytes = None;
    old.windows.truncate(1);
    let scores = old.scores.as_mut().unwrap();
    (scores.shift, scores.confidence) = (None, None);
    let report = Report::from_records(&[old]).unwrap();
    let row = &report.rows[0];
    assert_eq!((row.ppl_delta_interval, row.bits_per_byte), (None, None));
    assert_eq!((row.shift_rms, row.kld_confident), (None, None));
    assert!(report.csv().contains(",0123456789abcdef,,,,"));
    assert!(report.markdown().contains("| **x** | – | – | 0.00289 | 0.0781 | – | – |"));
}

#[test]
fn one_cell_or_none_with_bytes_is_enough() {
    let mut alone = plain("baseline", 0.0, 0.0);
    let report = Report::from_records(std::slice::from_ref(&alone)).unwrap();
    assert!(report.pareto_svg().contains(">baseline</text>"));
    alone.links.clear();
    let report = Report::from_records(&[alone]).unwrap();
    assert!(report.pareto_svg().contains("no cell with bytes"));
    insta::assert_snapshot!("no_links", report.terminal(&TableStyle::default()));
}

#[test]
fn the_front_has_no_cell_that_another_beats() {
    let report = Report::from_records(&records()).unwrap();
    let front: Vec<&str> =
        report.rows.iter().filter(|row| row.on_front).map(|row| row.label.as_str()).collect();
    assert_eq!(
        front,
        [
            "baseline",
            "raw",
            "f16",
            "int8 g64",
            "int8 token",
            "int6 g64",
            "nf4 absmax f32",
            "nf4 absmax f16",
            "nf4 absmax nested8",
            "int3 g64",
            "int2 g64"
        ]
    );
}

#[test]
fn protocols_do_not_mix() {
    let mut records = records();
    records[3].cell.protocol.window = 2048;
    records[3].cell.protocol.fingerprint = "fedcba9876543210".to_owned();
    let report = Report::of_any_protocols(&records).unwrap();
    assert_eq!(report.fingerprint, "0123456789abcdef, fedcba9876543210");
    assert_eq!(report.baseline_ppl, None);
    assert!(report.subtitle.contains("hf-stride 512/256, hf-stride 2048/256 · 4 links"));
    let other = report.rows.iter().find(|row| row.label == "bf16 [fedcba98]").unwrap();
    // Beaten by f16 in the table of one protocol, alone in its own.
    assert!(other.on_front);
    assert!(report.csv().contains(",fedcba9876543210,"));
    assert_eq!(
        Report::of_any_protocols(&self::records()).unwrap().csv(),
        Report::from_records(&self::records()).unwrap().csv()
    );
    insta::assert_snapshot!("mixed", Report::from_records(&records).unwrap_err().to_string());
    insta::assert_snapshot!("empty", Report::from_records(&[]).unwrap_err().to_string());
}

#[test]
fn picture() {
    let report = Report::from_records(&records()).unwrap();
    let svg = report.pareto_svg();
    for row in report.rows.iter().filter(|row| row.ppl.is_some()) {
        assert!(svg.contains(&format!(">{}</text>", row.label)), "{} has no label", row.label);
    }
    assert!(svg.contains("failed, not shown: int1 g64"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    insta::assert_snapshot!("pareto", svg);
}

#[test]
fn many_names_give_way_to_numbers_and_the_front_keeps_its_own() {
    let mut records = records();
    for step in 0..40 {
        let bits = 3.0 + f64::from(step) / 5.0;
        records.push(record(
            &format!("tail {step}"),
            "affine",
            bits,
            50.0 * f64::from(1 + step % 9),
            45.0,
        ));
    }
    let report = Report::from_records(&records).unwrap();
    let svg = report.pareto_svg();
    let bold = "font-weight=\"600\"";
    for row in report.rows.iter().filter(|row| row.on_front) {
        let named = |line: &str| line.contains(&format!(">{}</text>", row.label));
        assert!(svg.lines().any(|line| named(line) && line.contains(bold)), "{}", row.label);
    }
    // A number stands in the picture and once more in the list, whose names are smaller.
    assert_eq!(svg.matches(">7</text>").count(), 2);
    let listed = svg
        .lines()
        .filter(|line| line.contains(">tail ") && !line.contains(bold))
        .collect::<Vec<_>>();
    assert!(listed.len() > 10 && listed.iter().all(|line| line.contains("font-size=\"11\"")));
    let height = svg.split("height=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(height.parse::<f64>().unwrap() > 640.0, "{height}");
}

#[test]
fn exact_copies_stand_at_the_foot_of_the_logarithmic_axis() {
    let report = Report::from_records(&records()).unwrap();
    let divergence = Picture::default();
    let lowest = |svg: &str, name: &str| {
        let line = svg.lines().rfind(|line| line.contains(&format!(">{name}</text>"))).unwrap();
        line.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse::<f64>().unwrap()
    };
    let svg = report.picture_svg(&divergence);
    assert!(lowest(&svg, "baseline") > lowest(&svg, "f16"), "{svg}");
    assert!(svg.contains(">0</text>"));
}

#[test]
fn names_are_escaped() {
    let odd = record("a<b & \"c\", d|e", "x&y", 4.0, 0.5, 0.1);
    let report = Report::from_records(&[odd]).unwrap();
    assert!(report.pareto_svg().contains("a&lt;b &amp; \"c\", d|e</text>"));
    assert!(report.csv().contains("\n\"a<b & \"\"c\"\", d|e\",x&y,finished,"));
    assert!(report.markdown().contains("a\\<b & \"c\", d\\|e"));
}
