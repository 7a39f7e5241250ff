//! Presses: found and opened like codecs, and nothing that they return is believed.

use serde_json::{Map, Value, json};
use strait_loader::{
    KeptHead, KvHeadRef, LayerBudget, LayerRef, Placement, PluginSet, PressEntry, PressInstance,
    QUERIES, RopeLayout, RopeRef, SideNeed, SideRef,
};

use crate::build::{HOST, hostile, plugin};

const POSITIONS: [u32; 4] = [0, 1, 2, 5];
const KEYS: [f32; 8] = [1.0; 8];
const VALUES: [f32; 4] = [1.0, 4.0, 3.0, 2.0];
const HEAD: KvHeadRef<'_> = KvHeadRef { keys: &KEYS, values: &VALUES, positions: &POSITIONS };
const SHORT: KvHeadRef<'_> = KvHeadRef { keys: &[1.0, 2.0], values: &[1.0], positions: &[5] };

/// Two kv heads of two attention heads each, keys of 2 channels and values of 1.
fn layer<'a>(target: usize) -> LayerRef<'a> {
    LayerRef {
        layer: 3,
        layers: 4,
        heads: 4,
        head_dim: 2,
        value_dim: 1,
        tokens_seen: 6,
        budget: LayerBudget::of_size(4, target),
        seed: 1,
        attention_scale: 0.7,
        softcap: 0.0,
        sliding_window: 0,
        rope: RopeRef {
            inverse_frequencies: &[1.0],
            attention_factor: 1.0,
            layout: RopeLayout::Halves,
            keys_rotated: true,
        },
        kv_heads: &[HEAD, SHORT],
        side: &[],
    }
}

fn entry(id: &str) -> PressEntry {
    plugin().press(id).unwrap()
}

fn table(params: &Value) -> Map<String, Value> {
    params.as_object().unwrap().clone()
}

fn open(fault: &str) -> PressInstance {
    entry("hostile.press").open(&table(&json!({ "fault": fault }))).unwrap()
}

/// The text of an error without the line number in the plugin's source.
fn line(error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    assert!(!text.contains('\n'), "more than one line: {text}");
    text.split(" (at ").next().unwrap().replace("press `hostile.press`: ", "")
}

fn entries(kept: &[KeptHead]) -> Vec<&[usize]> {
    kept.iter().map(|head| head.entries.as_slice()).collect()
}

#[test]
fn descriptors_cross_the_boundary() {
    let plugin = plugin();
    let ids: Vec<_> = plugin.presses().iter().map(|press| press.id.as_str()).collect();
    assert_eq!(ids, ["hostile.press", "hostile.longest"]);
    let [wrong, longest] = plugin.presses() else { panic!("two presses") };
    assert_eq!((wrong.budget.as_str(), longest.budget.as_str()), ("own", "entries"));
    assert_eq!((wrong.params.len(), longest.params.len()), (1, 12));
    assert_eq!(wrong.side_information, [QUERIES]);
    let sinks = &longest.params[0];
    assert_eq!((sinks.name.as_str(), &sinks.default), ("sinks", &Some(json!(1))));
    assert_eq!(open("none").needs(), [SideNeed { name: QUERIES.to_owned(), tokens: Some(3) }]);
}

#[test]
fn parameters_are_resolved_and_refused() {
    let longest = entry("hostile.longest");
    let resolved = longest.resolve(&table(&json!({ "recent": 2 }))).unwrap();
    assert_eq!((&resolved["sinks"], &resolved["recent"]), (&json!(1), &json!(2)));
    longest.open(&resolved).unwrap();
    assert_eq!(
        longest.open(&table(&json!({ "sink": 2 }))).unwrap_err().to_string(),
        "press `hostile.longest`: parameter `sink`: expected `sinks`, `recent`, `budget`, \
         `safeguard`, `critical_share`, `critical_epsilon`, `unit`, `unit_size`, `layers`, \
         `pyramid_beta`, `pyramid_window` or `merge`, found an unknown key; did you mean `sinks`?"
    );
    let wrong = longest.open(&table(&json!({ "layers": "evn" }))).unwrap_err().to_string();
    assert!(wrong.starts_with("press `hostile.longest`: open failed: layers: expected"), "{wrong}");
}

#[test]
fn ragged_heads_are_pressed() {
    let mut press = entry("hostile.longest").open(&Map::new()).unwrap();
    let kept = press.press(&layer(2)).unwrap();
    assert_eq!(entries(&kept), [[0, 1].as_slice(), &[0]]);
    assert!(kept.iter().all(|head| head.keys.is_none() && head.key_channels.is_none()));
    assert_eq!(entries(&press.press(&layer(4)).unwrap()), [[0, 1, 2, 3].as_slice(), &[0]]);
    assert_eq!(entries(&press.press(&layer(0)).unwrap()), [[0; 0].as_slice(), &[]]);
    press.reset().unwrap();
    press.close().unwrap();
}

#[test]
fn panics_and_errors_become_errors() {
    let refused = |fault: &str| {
        let params = table(&json!({ "fault": fault }));
        line(entry("hostile.press").open(&params).unwrap_err())
    };
    assert_eq!(refused("panic_in_open"), "open panicked: hostile panic_in_open");
    assert_eq!(refused("panic_in_needs"), "needs panicked: hostile panic_in_needs");
    let mut press = open("panic_in_press");
    let first = press.press(&layer(2)).unwrap_err();
    assert_eq!(line(first), "press panicked: hostile panic_in_press");
    let poisoned = "refused: this instance panicked before; open another one";
    assert_eq!(line(press.press(&layer(2)).unwrap_err()), format!("press {poisoned}"));
    assert_eq!(line(press.reset().unwrap_err()), format!("reset {poisoned}"));
    let reset = open("panic_in_reset").reset().unwrap_err();
    assert_eq!(line(reset), "reset panicked: hostile panic_in_reset");
    let close = open("panic_in_drop").close().unwrap_err();
    assert_eq!(line(close), "drop panicked: hostile panic_in_drop");
    drop(open("panic_in_drop"));
    let mut press = open("error");
    for _ in 0..2 {
        assert_eq!(line(press.press(&layer(2)).unwrap_err()), "press failed: hostile error");
    }
}

#[test]
fn results_that_do_not_fit_are_refused() {
    let found = |fault: &str| line(open(fault).press(&layer(2)).unwrap_err());
    let indices = "layer 3: expected ascending indices of 4 entries in kv head 0, found";
    assert_eq!(open("none").press(&layer(2)).unwrap()[0].entries, [0, 1, 2, 3]);
    assert_eq!(found("heads"), "layer 3: expected 2 kv heads, found 1; tell its author");
    assert_eq!(found("order"), format!("{indices} 3 before 2; tell its author"));
    assert_eq!(found("twice"), format!("{indices} 3 before 3; tell its author"));
    assert_eq!(found("beyond"), format!("{indices} 4; tell its author"));
    assert_eq!(found("huge"), "press failed: index 18446744073709551615: beyond u32");
    assert_eq!(
        found("values"),
        "layer 3: expected 4 numbers in the values of kv head 0, found 3; tell its author"
    );
    assert_eq!(
        found("nan"),
        "layer 3: expected finite keys in kv head 0, found NaN; tell its author"
    );
    assert_eq!(
        found("some_channels"),
        "layer 3: expected key channels for every kv head or for none, found for 1 of 2; \
         tell its author"
    );
    assert_eq!(
        found("channel"),
        "layer 3: expected ascending indices of 2 key channels in kv head 0, found 7; \
         tell its author"
    );
}

#[test]
fn layers_that_do_not_fit_together_are_refused() {
    let refusal = |layer: LayerRef<'_>| line(open("none").press(&layer).unwrap_err());
    let short = KvHeadRef { keys: &KEYS[1..], ..HEAD };
    assert_eq!(
        refusal(LayerRef { kv_heads: &[HEAD, short], ..layer(2) }),
        "press refused: layer 3: expected 4 keys of 2 channels in kv head 1, found 7 numbers"
    );
    assert!(refusal(LayerRef { heads: 3, ..layer(2) }).ends_with("3 heads over 2 kv heads"));
    assert!(refusal(LayerRef { kv_heads: &[], ..layer(2) }).ends_with("4 heads over 0 kv heads"));
    assert!(refusal(LayerRef { tokens_seen: 5, ..layer(2) }).contains("positions below 5"));
    assert!(refusal(LayerRef { layers: 3, ..layer(2) }).contains("number of layers"));
    let queries = [SideRef { name: QUERIES, tokens: 2, values: &[0.0; 15] }];
    assert_eq!(
        refusal(LayerRef { side: &queries, ..layer(2) }),
        "press refused: layer 3: expected 16 numbers in `queries`, found 15"
    );
    let unknown = [SideRef { name: "of a later minor", tokens: 0, values: &[0.0; 3] }];
    assert!(open("none").press(&LayerRef { side: &unknown, ..layer(2) }).is_ok());
}

#[test]
fn a_folder_offers_its_presses() {
    let folder = tempfile::tempdir().unwrap();
    let scan = || PluginSet::scan(folder.path(), &Default::default(), HOST).unwrap();
    let refusal = |set: &PluginSet, id: &str| {
        let text = set.press(id).unwrap_err().to_string();
        text.replace(&folder.path().display().to_string(), "DIR")
    };
    assert_eq!(
        refusal(&scan(), "snapkv"),
        "press `snapkv`: expected a plugin in DIR, which offers no presses, found no such press; \
         put the plugin's .so file there"
    );
    std::fs::copy(hostile(), folder.path().join("a.so")).unwrap();
    let set = scan();
    assert_eq!(set.press("hostile.press").unwrap().plugin().file_name(), "a.so");
    assert_eq!(
        refusal(&set, "hostile.pres"),
        "press `hostile.pres`: expected one of hostile.longest, hostile.press (from DIR), found no \
         such press; did you mean `hostile.press`?"
    );
    std::fs::copy(hostile(), folder.path().join("b.so")).unwrap();
    assert_eq!(
        refusal(&scan(), "hostile.press"),
        "press `hostile.press`: expected one plugin to offer it, found DIR/a.so and DIR/b.so; \
         remove all but one"
    );
}

#[test]
fn a_press_is_placed_in_host_memory_and_refuses_any_other() {
    let mut press = open("none");
    press.place(Placement::HOST).unwrap();
    let refused = line(press.place(Placement { device: 1, ..Placement::HOST }).unwrap_err());
    let expected = "place failed: placement: expected device tag 0, as in host memory, found 1";
    assert!(refused.starts_with(expected), "{refused}");
    assert!(press.press(&layer(2)).is_ok(), "a refusal changes nothing");
}
