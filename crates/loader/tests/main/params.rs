//! Parameters are checked against the plugin's table before its codec is opened.

use serde_json::{Map, Value, json};
use strait_loader::{ParamKind, Side};

use crate::build::plugin;

fn table(params: &Value) -> Map<String, Value> {
    params.as_object().unwrap().clone()
}

#[test]
fn descriptors_cross_the_boundary() {
    let plugin = plugin();
    let ids: Vec<_> = plugin.codecs().iter().map(|codec| codec.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "hostile.panic",
            "hostile.error",
            "hostile.length",
            "hostile.half-filled",
            "hostile.static-cheat",
            "hostile.instance-cheat",
            "hostile.file-cheat",
            "hostile.address-cheat",
            "hostile.chatty",
            "hostile.outer",
            "hostile.self",
            "hostile.ends",
            "hostile.floats",
            "hostile.changes",
            "hostile.says",
            "hostile.writes",
        ]
    );
    let panics = &plugin.codecs()[0];
    assert_eq!((panics.kind.as_str(), panics.fits, panics.lossless), ("codec", true, true));
    assert_eq!(panics.sites, ["boundary", "kv", "weights"]);
    assert_eq!((panics.params[0].kind, panics.params[0].choices.len()), (ParamKind::Choice, 8));
    assert_eq!(panics.params[0].choices[1].doc, "When an instance is opened.");
    assert_eq!(plugin.codecs()[8].side_information, ["importance"]);
    assert_eq!(plugin.sdk_version(), "1.3.0");
    assert_eq!(plugin.abi_version(), (1, 3));
    assert_eq!(plugin.file_name(), "libstrait_hostile.so");
}

#[test]
fn defaults_are_filled_in() {
    let codec = plugin().codec("hostile.length").unwrap();
    let resolved = codec.resolve(&table(&json!({ "extra": 5 }))).unwrap();
    assert_eq!(
        Value::Object(resolved).to_string(),
        r#"{"factor":1,"extra":5,"missing":0,"announced":1}"#
    );
}

#[test]
fn refusals_name_codec_and_key() {
    let open = |id: &str, params: Value| {
        let codec = plugin().codec(id).unwrap();
        codec.open(Side::Encoder, &table(&params), None).unwrap_err().to_string()
    };
    assert_eq!(
        open("hostile.length", json!({ "factr": 1 })),
        "codec `hostile.length`: parameter `factr`: expected `factor`, `extra`, `missing` or \
         `announced`, found an unknown key; did you mean `factor`?"
    );
    assert_eq!(
        open("hostile.length", json!({ "factor": 1001 })),
        "codec `hostile.length`: parameter `factor`: expected an integer from 0 to 1000, found 1001"
    );
    assert_eq!(
        open("hostile.chatty", json!({ "volume": 11 })),
        "codec `hostile.chatty`: parameter `volume`: expected no parameters, found an unknown key"
    );
    assert!(open("hostile.panic", json!({ "at": "encod" })).ends_with("; did you mean `encode`?"));
}
