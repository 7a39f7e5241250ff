//! Values against the reference packages, bit for bit.

use strait_weights::{Checkpoint, Format};

use crate::golden;

fn assert_same_tensors(found: &Checkpoint, expected: &str) {
    let bytes = std::fs::read(golden(expected)).unwrap();
    let empty = serde_json::json!({});
    let expected = Checkpoint::from_safetensors_bytes(&golden(expected), empty, bytes).unwrap();
    assert_eq!(found.tensor_infos().count(), expected.tensor_infos().count());
    for info in expected.tensor_infos() {
        let (found, expected) =
            (found.tensor(&info.name).unwrap(), expected.tensor(&info.name).unwrap());
        assert_eq!(found.shape, expected.shape, "{}", info.name);
        let bits = |data: &[f32]| data.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found.data), bits(&expected.data), "{}", info.name);
    }
}

#[test]
fn every_gguf_format_gives_the_bits_of_the_gguf_package() {
    let checkpoint = Checkpoint::open(&golden("quants.gguf")).unwrap();
    for format in Format::ALL {
        let info = checkpoint.info(&format!("golden.{}", format.name())).unwrap();
        assert_eq!(info.format, format.name());
        let blocks = info.values / format.block_values() as u64;
        assert_eq!(info.stored_bytes, blocks * format.block_bytes() as u64);
    }
    assert_same_tensors(&checkpoint, "quants.safetensors");
}

#[test]
fn shards_give_the_bits_of_the_safetensors_package() {
    let checkpoint = Checkpoint::open(&golden("sharded")).unwrap();
    assert_eq!(checkpoint.files().len(), 2);
    assert_eq!(checkpoint.config()["model_type"], "llama");
    let formats: Vec<_> = ["f32", "f16", "bf16", "empty"]
        .map(|name| checkpoint.info(name).unwrap().format.clone())
        .into();
    assert_eq!(formats, ["F32", "F16", "BF16", "F32"]);
    assert_same_tensors(&checkpoint, "sharded.safetensors");
}
