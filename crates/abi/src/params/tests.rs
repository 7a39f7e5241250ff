//! Tests of the parameter table.

use serde_json::{Map, Value, json};

use super::{ChoiceSpec, ParamKind, ParamSpec, json_schema, nearest, resolve};

fn spec(name: &str, kind: ParamKind, default: Option<Value>) -> ParamSpec {
    let (min, max) = match kind {
        ParamKind::Integer => (Some(1.into()), Some(8.into())),
        _ => (None, None),
    };
    let choices = match kind {
        ParamKind::Choice => ["token", "channel"]
            .map(|name| ChoiceSpec { name: name.to_owned(), doc: String::new() })
            .to_vec(),
        _ => Vec::new(),
    };
    ParamSpec { name: name.to_owned(), kind, default, min, max, choices, doc: String::new() }
}

fn table() -> Vec<ParamSpec> {
    vec![
        spec("bits", ParamKind::Integer, None),
        spec("scale", ParamKind::Number, Some(json!(1.0))),
        spec("granularity", ParamKind::Choice, Some(json!("token"))),
        spec("note", ParamKind::String, Some(Value::Null)),
    ]
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn refusal(values: Value) -> String {
    resolve(&table(), &map(values)).unwrap_err().to_string()
}

#[test]
fn defaults_are_filled_in_table_order() {
    let resolved = resolve(&table(), &map(json!({ "scale": 2, "bits": 4 }))).unwrap();
    assert_eq!(
        Value::Object(resolved).to_string(),
        r#"{"bits":4,"scale":2.0,"granularity":"token","note":null}"#
    );
}

#[test]
fn refusals_name_the_key() {
    assert_eq!(
        refusal(json!({ "bits": 9 })),
        "parameter `bits`: expected an integer from 1 to 8, found 9"
    );
    assert_eq!(
        refusal(json!({ "bits": 4.0 })),
        "parameter `bits`: expected an integer from 1 to 8, found 4.0"
    );
    assert_eq!(
        refusal(json!({})),
        "parameter `bits`: expected an integer from 1 to 8, found no value, and there is no default"
    );
    assert_eq!(
        refusal(json!({ "bits": 4, "granularty": "token" })),
        "parameter `granularty`: expected `bits`, `scale`, `granularity` or `note`, \
         found an unknown key; did you mean `granularity`?"
    );
    assert_eq!(
        refusal(json!({ "bits": 4, "granularity": "chanel" })),
        "parameter `granularity`: expected \"token\" or \"channel\", found \"chanel\"; \
         did you mean `channel`?"
    );
    assert_eq!(
        refusal(json!({ "bits": 4, "scale": null })),
        "parameter `scale`: expected a number, found no value"
    );
    assert_eq!(
        refusal(json!({ "bits": [4] })),
        "parameter `bits`: expected an integer from 1 to 8, found an array"
    );
}

#[test]
fn integer_limits_are_exact_beyond_f64() {
    let mut big = spec("seed", ParamKind::Integer, None);
    big.min = None;
    big.max = Some((u64::MAX - 1).into());
    assert!(big.check(&json!(u64::MAX - 1)).is_ok());
    assert!(big.check(&json!(u64::MAX)).is_err());
}

#[test]
fn a_null_default_survives_json() {
    let text = serde_json::to_string(&table()).unwrap();
    assert_eq!(serde_json::from_str::<Vec<ParamSpec>>(&text).unwrap(), table());
}

#[test]
fn schema_lists_required_keys_and_limits() {
    let schema = json_schema(&table());
    assert_eq!(schema["required"], json!(["bits"]));
    assert_eq!(schema["properties"]["bits"]["maximum"], json!(8));
    assert_eq!(schema["properties"]["granularity"]["oneOf"][1]["const"], json!("channel"));
    assert!(schema["properties"]["note"].get("default").is_none());
}

#[test]
fn nearest_refuses_far_words() {
    assert_eq!(nearest("afine", ["affine", "raw"]), Some("affine"));
    assert_eq!(nearest("zzzzz", ["affine", "raw"]), None);
}

#[test]
fn codecs_are_tables_or_ids() {
    let inner = spec("inner", ParamKind::Codec, Some(json!("raw")));
    assert_eq!(inner.check(&json!("affine")).unwrap(), json!({ "codec": "affine" }));
    let table = json!({ "bits": 4, "codec": "affine" });
    assert_eq!(inner.check(&table).unwrap().to_string(), r#"{"codec":"affine","bits":4}"#);
    let error = inner.check(&json!(3)).unwrap_err().under("low");
    assert_eq!(
        error.to_string(),
        "parameter `low.inner`: expected a codec with its parameters, { codec = \"...\", ... }, \
         found 3"
    );
    let schema = json_schema(&[inner]);
    assert_eq!(schema["properties"]["inner"]["oneOf"][1]["required"], json!(["codec"]));
}

#[test]
fn a_kind_of_a_later_minor_takes_any_value() {
    let later: ParamSpec = serde_json::from_str(r#"{"name":"a","kind":"matrix"}"#).unwrap();
    assert_eq!(later.kind, ParamKind::Any);
}
