//! Tests of the derives.

use serde_json::{Value, json};

use crate::{Choice, ParamKind, Params};

/// Granularity.
#[derive(Choice, Clone, Copy, Debug, PartialEq)]
enum Granularity {
    /// One scale for the message.
    Tensor,
    /// One scale per row,
    /// in two lines.
    Token,
    #[choice(name = "e4m3")]
    Fp8,
    PerGroup,
}

#[derive(Params, Debug, PartialEq)]
struct Everything {
    /// Bits per stored value.
    #[param(default = 8, min = 1, max = 8)]
    bits: u8,
    /// Values that share a scale.
    #[param(default = 64, min = 1)]
    group: usize,
    #[param(default = -3)]
    offset: i32,
    #[param(default = 0.5, min = 0, max = 1.0)]
    ratio: f32,
    #[param(default = true)]
    symmetric: bool,
    #[param(default = "none")]
    note: String,
    #[param(default = "per_group")]
    granularity: Granularity,
    #[param(min = 1)]
    limit: Option<u32>,
    table: Option<Value>,
}

#[derive(Params, Debug)]
struct Required {
    #[param(max = 10)]
    bits: u16,
}

#[derive(Params, Debug, PartialEq)]
struct Nothing;

#[test]
fn defaults_and_values_are_read() {
    let params = Everything::default();
    assert_eq!((params.bits, params.group, params.offset), (8, 64, -3));
    assert_eq!((params.ratio, params.symmetric, params.note.as_str()), (0.5, true, "none"));
    assert_eq!((params.granularity, params.limit), (Granularity::PerGroup, None));
    let values = json!({ "bits": 3, "granularity": "e4m3", "limit": 7, "table": [1], "ratio": 1 });
    let params = Everything::from_json(&values).unwrap();
    assert_eq!((params.bits, params.granularity, params.limit), (3, Granularity::Fp8, Some(7)));
    assert_eq!((params.ratio, params.table), (1.0, Some(json!([1]))));
    assert_eq!(Nothing::from_json(&json!({})).unwrap(), Nothing);
}

#[test]
fn specs_carry_docs_limits_and_choices() {
    let specs = Everything::specs();
    let names: Vec<_> = specs.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(
        names,
        ["bits", "group", "offset", "ratio", "symmetric", "note", "granularity", "limit", "table"]
    );
    assert_eq!(specs[0].doc, "Bits per stored value.");
    assert_eq!((specs[0].kind, specs[0].default.clone()), (ParamKind::Integer, Some(json!(8))));
    assert_eq!((specs[1].min.clone(), specs[1].max.clone()), (Some(1.into()), None));
    assert_eq!(specs[2].max, Some(i32::MAX.into()));
    assert_eq!(specs[6].choices[1].doc, "One scale per row, in two lines.");
    assert_eq!(specs[6].choices[2].name, "e4m3");
    assert_eq!(specs[7].default, Some(Value::Null));
    assert_eq!(Required::specs()[0].default, None);
    assert_eq!(Required::from_json(&json!({ "bits": 7 })).unwrap().bits, 7);
}

#[test]
fn refusals_name_the_key() {
    let refusal = |values: Value| Everything::from_json(&values).unwrap_err().to_string();
    assert_eq!(
        refusal(json!({ "bits": 0 })),
        "parameter `bits`: expected an integer from 1 to 8, found 0"
    );
    assert_eq!(
        refusal(json!({ "limit": 0 })),
        "parameter `limit`: expected an integer from 1 to 4294967295, found 0"
    );
    assert!(refusal(json!({ "bit": 0 })).ends_with("did you mean `bits`?"));
    assert!(refusal(json!({ "granularity": "tensr" })).ends_with("did you mean `tensor`?"));
    assert_eq!(refusal(json!([1])), "parameters: expected a table, found [1]");
    assert_eq!(
        Required::from_json(&json!({})).unwrap_err().to_string(),
        "parameter `bits`: expected an integer from 0 to 10, found no value, and there is no default"
    );
    assert!(
        Nothing::from_json(&json!({ "a": 1 })).unwrap_err().to_string().contains("no parameters")
    );
}

#[test]
fn choices_round_trip() {
    for name in Granularity::NAMES {
        assert_eq!(Granularity::from_name(name).unwrap().name(), *name);
    }
    assert_eq!(Granularity::NAMES, ["tensor", "token", "e4m3", "per_group"]);
    assert_eq!(Granularity::from_name("Tensor"), None);
}
