//! Model directories with a part missing or wrong.

use std::fs;
use std::path::Path;

use serde_json::json;
use strait_weights::{Checkpoint, TokenizerSource};
use tempfile::TempDir;

use crate::safetensors::file;
use crate::{golden, message};

const INDEX: &str = "model.safetensors.index.json";

/// A copy of the sharded golden that a test may damage.
fn sharded() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden("sharded")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

/// The message without the temporary folder's name.
fn error_in(folder: &Path) -> String {
    message(Checkpoint::open(folder)).replace(&folder.display().to_string(), "DIR")
}

#[test]
fn missing_files_are_named_with_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert_eq!(error_in(path), "DIR: expected config.json in this directory, found nothing");
    fs::write(path.join("config.json"), "{}").unwrap();
    assert_eq!(
        error_in(path),
        "DIR: expected model.safetensors or model.safetensors.index.json in this directory, found config.json"
    );
    fs::write(path.join("Tiny.GGUF"), "").unwrap();
    assert_eq!(
        error_in(path),
        "DIR: expected model.safetensors or model.safetensors.index.json in this directory, found Tiny.GGUF: give \
         that file itself as the model source"
    );
    let absent = path.join("absent");
    assert!(
        message(Checkpoint::open(&absent)).contains("absent: no such model; expected a directory")
    );
    let config = message(Checkpoint::open(&path.join("config.json")));
    assert!(config.ends_with("found a file that does not start with \"GGUF\""), "{config}");
    let empty = message(Checkpoint::open(&path.join("Tiny.GGUF")));
    assert!(empty.contains("the magic bytes needs 4 bytes up to here, the file has 0"), "{empty}");
}

#[test]
fn one_file_is_preferred_to_shards_and_brings_a_tokenizer() {
    let folder = sharded();
    let path = folder.path();
    let header = json!({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}});
    fs::write(path.join("model.safetensors"), file(&header.to_string(), &[7])).unwrap();
    fs::write(path.join("tokenizer.json"), "{}").unwrap();
    let checkpoint = Checkpoint::open(path).unwrap();
    assert_eq!(checkpoint.files(), [path.join("model.safetensors")]);
    let tokenizer = checkpoint.tokenizer().unwrap();
    assert_eq!(tokenizer, TokenizerSource::File(path.join("tokenizer.json")));
    let single = message(Checkpoint::open(&path.join("model.safetensors")));
    assert!(single.contains("give its directory"), "{single}");
}

#[test]
fn a_wrong_configuration_is_named() {
    let folder = sharded();
    fs::write(folder.path().join("config.json"), "[]").unwrap();
    let error = error_in(folder.path());
    let expected =
        "DIR/config.json: the model configuration is not valid JSON of the expected form: ";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn shards_and_index_must_agree() {
    let write = |folder: &TempDir, map: serde_json::Value| {
        let text = json!({"metadata": {}, "weight_map": map}).to_string();
        fs::write(folder.path().join(INDEX), text).unwrap();
    };
    let (first, second) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    let folder = sharded();
    for name in ["../secret", "/etc/passwd", "", "a/b", "."] {
        write(&folder, json!({"f32": name}));
        assert_eq!(
            error_in(folder.path()),
            format!(
                "DIR/{INDEX}: shard of \"f32\": expected a file name in the same directory, found \"{name}\""
            )
        );
    }
    write(&folder, json!({"f32": second}));
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let error = checkpoint.tensor("f32").unwrap_err().to_string();
    assert!(error.contains("no tensor named \"f32\""), "{error}");
    write(&folder, json!({"f32": second, "f16": second, "empty": first}));
    assert_eq!(
        error_in(folder.path()),
        format!("DIR/{INDEX}: tensor \"f32\": expected it in {second}, found it in DIR/{first}")
    );
    write(&folder, json!({"f32": first, "f16": "third.safetensors"}));
    let error = error_in(folder.path());
    assert!(
        error.starts_with(&format!("DIR: expected the shard third.safetensors that {INDEX} names"))
    );
    let third = folder.path().join("third.safetensors");
    fs::copy(folder.path().join(first), &third).unwrap();
    Checkpoint::open(folder.path()).unwrap();
    let mut bytes = fs::read(&third).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&third, bytes).unwrap();
    assert!(error_in(folder.path()).contains(
        "expected a tensor of one file, or the same bytes in each, found the same name in DIR/"
    ));
}

#[test]
fn weights_are_found_by_what_is_there() {
    let folder = sharded();
    let path = folder.path();
    fs::remove_file(path.join(INDEX)).unwrap();
    let checkpoint = Checkpoint::open(path).unwrap();
    assert_eq!(checkpoint.tensor_infos().count(), 4);
    let (first, second) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    fs::remove_file(path.join(second)).unwrap();
    assert_eq!(
        error_in(path),
        format!(
            "DIR: expected {second}, one of 2 shards, in this directory, found config.json, {first}"
        )
    );
    fs::rename(path.join(first), path.join("weights.safetensors")).unwrap();
    assert_eq!(Checkpoint::open(path).unwrap().tensor_infos().count(), 2);
    fs::rename(path.join("weights.safetensors"), path.join("adapter_config.json")).unwrap();
    assert!(error_in(path).contains("adapter_config.json: a LoRA adapter: merge it"));
}
