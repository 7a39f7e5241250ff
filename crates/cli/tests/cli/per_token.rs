//! `[output] per_token`: what the files say of single tokens adds up to the record.

use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Row;

use super::harness::Bench;

fn rows(path: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
}

/// A column of whole numbers.
fn whole(rows: &[Row], column: usize) -> Vec<i32> {
    use parquet::record::RowAccessor;
    rows.iter().map(|row| row.get_int(column).unwrap()).collect()
}

#[test]
fn single_tokens_and_kept_entries_add_up_to_the_record() {
    use parquet::record::RowAccessor;
    let bench = Bench::new(&["affine", "presses-basic"]);
    bench.experiment(
        "[kv]\ninterval = 64\n[output]\nper_token = true\n\
         [partition]\ncuts = [2]\n\
         [[compressor]]\ncodec = \"affine\"\nparams = { bits = 4 }\n\
         [[cache]]\npress = \"streaming-llm\"\nsize = 40\nparams = { sinks = 4 }\n",
    );
    bench.run_ok(&["-o", "out"]);
    for (label, record) in bench.records("out") {
        let id = &record["id"].as_str().unwrap()[..16];
        let tokens = rows(&bench.path().join(format!("out/tokens/{id}.parquet")));
        let windows = record["windows"].as_array().unwrap();
        for (index, window) in windows.iter().enumerate() {
            let own: Vec<&Row> =
                tokens.iter().filter(|row| row.get_int(0).unwrap() == index as i32).collect();
            assert_eq!(own.len() as u64, window["scored"].as_u64().unwrap(), "{label}");
            let sum = |column| own.iter().map(|row| row.get_double(column).unwrap()).sum::<f64>();
            for (column, key) in [(3, "a"), (4, "b")] {
                let expected = window["sums"][key].as_f64().unwrap();
                assert!((sum(column) - expected).abs() < 1e-9 * expected, "{label} {key}");
            }
            let same = own.iter().filter(|row| row.get_bool(7).unwrap()).count();
            assert_eq!(same as u64, window["same_top"].as_u64().unwrap(), "{label}");
        }
        // Every token but the first is scored once, in the order of the text.
        assert_eq!(whole(&tokens, 1), (1..=tokens.len() as i32).collect::<Vec<_>>(), "{label}");

        let kept = bench.path().join(format!("out/kept/{id}.parquet"));
        if !label.contains("streaming-llm") {
            assert!(!kept.exists(), "{label}");
            continue;
        }
        let kept = rows(&kept);
        for row in &kept {
            let [seen, position] = [1, 4].map(|column| row.get_int(column).unwrap());
            let last = position >= seen - 36;
            assert!(position < 4 || last || seen <= 40, "{position} of {seen}");
        }
        let of_first_head =
            |row: &&Row| [0, 1, 2, 3].map(|column| row.get_int(column).unwrap()) == [1, 128, 0, 0];
        assert_eq!(kept.iter().filter(of_first_head).count(), 40);
    }
}

#[test]
fn what_is_written_later_comes_from_the_journals() {
    let bench = Bench::new(&["affine"]);
    bench.experiment(
        "[partition]\ncuts = [2]\n[[compressor]]\ncodec = \"affine\"\nparams = { bits = 4 }\n",
    );
    bench.run_ok(&["-o", "out"]);
    assert!(!bench.path().join("out/tokens").exists());
    let text = std::fs::read_to_string(bench.path().join("test.toml")).unwrap();
    bench.write("test.toml", &format!("{text}[output]\nper_token = true\n"));
    bench.run_ok(&["-o", "out"]);
    let tokens = bench.path().join("out/tokens");
    assert_eq!(std::fs::read_dir(&tokens).unwrap().count(), 2);

    std::fs::remove_dir_all(&tokens).unwrap();
    std::fs::remove_dir_all(bench.path().join("out/journal")).unwrap();
    let stderr = bench.run_ok(&["-o", "out"]);
    assert!(stderr.contains("cannot be written: its record is finished"), "{stderr}");
    assert!(!tokens.exists());
}
