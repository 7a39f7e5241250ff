//! The common parameters, on a press whose scores are its keys.

use crate::prelude::*;
use crate::press::abi::{OUTPUT_NORM, QUERIES};
use crate::press::{HeadData, LayerData, SideData};
use crate::serde_json::{Value, json};

/// The score of an entry is the only channel of its key.
struct Given;

impl Press for Given {
    const INFO: PressInfo =
        PressInfo { id: "given", summary: "the keys are the scores", ..PressInfo::DEFAULT };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(Given)
    }

    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        Ok(layer.heads().iter().map(|head| head.all_keys().to_vec()).collect())
    }
}

/// The score of an entry is how many of the queries it is before, negative: recency.
struct Counting;

impl Press for Counting {
    const INFO: PressInfo = PressInfo { id: "counting", sinks: 1, ..Given::INFO };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(Counting)
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Queries(2)]
    }

    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        let queries = layer.queries()?;
        assert_eq!(queries.first_position() + queries.tokens(), layer.tokens_seen());
        let last = layer.heads()[0].positions().last().copied().unwrap_or(0) as usize;
        assert_eq!(last + 1, layer.tokens_seen());
        assert_eq!(queries.head(0).last(), Some([last as f32].as_slice()));
        let score = |p: &u32| (*p % 2) as f32 + layer.sinks() as f32;
        Ok(layer.heads().iter().map(|h| h.positions().iter().map(score).collect()).collect())
    }
}

fn head(scores: &[f32]) -> HeadData {
    HeadData {
        keys: scores.to_vec(),
        values: scores.to_vec(),
        positions: (0..scores.len()).map(|p| p as u32).collect(),
    }
}

fn layer(heads: &[&[f32]], target: usize) -> LayerData {
    let data = LayerData::new(heads.len(), 1, heads.iter().map(|scores| head(scores)).collect());
    let ratio = 1.0 - target as f64 / data.target as f64;
    LayerData { target, ratio, ..data }
}

fn kept(layer: &LayerData, params: Value) -> Vec<Vec<usize>> {
    layer.press::<Given>(&params).unwrap().into_iter().map(|head| head.entries).collect()
}

fn refusal<P: Press>(layer: &LayerData, params: Value) -> String {
    layer.press::<P>(&params).unwrap_err().to_string()
}

const A: &[f32] = &[1.0, 9.0, 3.0, 8.0, 2.0, 7.0];
const B: &[f32] = &[0.1, 0.2, 0.6, 0.5, 0.4, 0.3];

#[test]
fn the_best_of_each_head_stay() {
    assert_eq!(kept(&layer(&[A, B], 3), json!({})), [[1, 3, 5], [2, 3, 4]]);
    assert_eq!(kept(&layer(&[A, B], 6), json!({}))[1], [0, 1, 2, 3, 4, 5]);
    assert_eq!(kept(&layer(&[A], 0), json!({})), [[0; 0]]);
    let ragged = layer(&[A, &B[..2]], 3);
    assert_eq!(kept(&ragged, json!({})), [vec![1, 3, 5], vec![0, 1]]);
    assert_eq!(kept(&layer(&[&[]], 0), json!({})), [[0; 0]]);
}

#[test]
fn sinks_and_recent_entries_stay_first() {
    let params = json!({ "sinks": 1, "recent": 1 });
    assert_eq!(kept(&layer(&[A, B], 3), params.clone()), [[0, 1, 5], [0, 2, 5]]);
    assert_eq!(kept(&layer(&[A], 1), params.clone()), [[0]]);
    assert_eq!(kept(&layer(&[A], 2), params), [[0, 5]]);
    assert_eq!(kept(&layer(&[A], 4), json!({ "sinks": 9 })), [[0, 1, 2, 3]]);
}

#[test]
fn adaptive_budgets_are_met_by_all_heads_together() {
    let params = |safeguard: f64| json!({ "budget": "adakv", "safeguard": safeguard });
    assert_eq!(kept(&layer(&[A, B], 3), params(0.0)), [vec![0, 1, 2, 3, 4, 5], vec![]]);
    // 0.4 of 3 is 1: the best of B is safe.
    assert_eq!(kept(&layer(&[A, B], 3), params(0.4)), [vec![1, 2, 3, 4, 5], vec![2]]);
    assert_eq!(kept(&layer(&[A, B], 3), params(1.0)), [[1, 3, 5], [2, 3, 4]]);
    let sinks = json!({ "budget": "adakv", "safeguard": 0.0, "sinks": 2 });
    assert_eq!(kept(&layer(&[A, B], 3), sinks), [vec![0, 1, 3, 5], vec![0, 1]]);
    let ragged = layer(&[A, &B[..2]], 3);
    assert_eq!(kept(&ragged, params(0.4)), [vec![1, 2, 3, 4, 5], vec![1]]);
}

#[test]
fn critical_budgets_weigh_the_second_half_by_values() {
    let mut data = layer(&[A, B], 3);
    let params = json!({ "budget": "criticalkv" });
    assert!(refusal::<Given>(&data, params.clone()).contains("`output-norm`"));
    // 1 of 3 is chosen by score; the value of entry 0 counts 100 times.
    let mut norms = vec![1.0; 12];
    norms[0] = 100.0;
    data.side = vec![SideData { name: OUTPUT_NORM.to_owned(), tokens: 0, values: norms.clone() }];
    assert_eq!(kept(&data, params), [[0, 1, 3], [2, 3, 4]]);
    let both = json!({ "budget": "criticaladakv", "safeguard": 0.4, "critical_share": 0.0 });
    norms[5] = 0.0;
    data.side[0].values = norms;
    assert_eq!(kept(&data, both), [vec![0, 1, 2, 3, 4], vec![2]]);
}

#[test]
fn whole_chunks_stay_by_their_mean_over_heads() {
    let chunks = |size: usize| json!({ "unit": "chunkkv", "unit_size": size });
    // Means of A and B added: 5.15, 6.05, 4.85.
    assert_eq!(kept(&layer(&[A, B], 4), chunks(2)), [[0, 1, 2, 3], [0, 1, 2, 3]]);
    assert_eq!(kept(&layer(&[A, B], 1), chunks(2)), [[2, 3], [2, 3]]);
    // The last chunk is shorter: 5.25 and 4.5.
    assert_eq!(kept(&layer(&[A], 3), chunks(4)), [[0, 1, 2, 3]]);
    let recent = json!({ "unit": "chunkkv", "unit_size": 2, "recent": 1 });
    assert_eq!(kept(&layer(&[A], 2), recent), [[4, 5]]);
    let ragged = layer(&[A, &B[..2]], 2);
    assert_eq!(kept(&ragged, chunks(2)), [[2, 3], [0, 1]]);
}

#[test]
fn each_chunk_keeps_its_share() {
    let params = json!({ "unit": "chunk", "unit_size": 3 });
    assert_eq!(kept(&layer(&[A, B], 4), params.clone()), [[1, 2, 3, 5], [1, 2, 3, 4]]);
    assert_eq!(kept(&layer(&[A], 2), params), [[1, 3]]);
}

#[test]
fn blocks_are_pressed_one_after_the_other() {
    let params = json!({ "unit": "block", "unit_size": 2 });
    assert_eq!(kept(&layer(&[A], 2), params.clone()), [[1, 3]]);
    assert_eq!(kept(&layer(&[A, &B[..2]], 2), params), [[1, 3], [0, 1]]);
    let sinks = json!({ "unit": "block", "unit_size": 2, "sinks": 1, "recent": 1 });
    assert_eq!(kept(&layer(&[A], 2), sinks), [[0, 5]]);
}

#[test]
fn parts_have_the_queries_and_sinks_of_their_tokens() {
    let mut data = layer(&[A], 2);
    let queries = (0..6).map(|p| p as f32).collect();
    data.side = vec![SideData { name: QUERIES.to_owned(), tokens: 6, values: queries }];
    let block = data.press::<Counting>(&json!({ "unit": "block", "unit_size": 1 })).unwrap();
    assert_eq!(block[0].entries, [0, 5]);
    let chunk = data.press::<Counting>(&json!({ "unit": "chunk", "unit_size": 3 })).unwrap();
    assert_eq!(chunk[0].entries, [0, 5]);
}

#[test]
fn layers_divide_what_the_model_keeps() {
    let mut data = layer(&[A], 3);
    data.layers = 2;
    let ratios = json!({ "layers": [0.5, 1.0] });
    assert_eq!(kept(&data, ratios.clone())[0].len(), 3);
    data.layer = 1;
    assert_eq!(kept(&data, ratios)[0].len(), 0);
    assert_eq!(
        refusal::<Given>(&data, json!({ "layers": [0.5] })),
        "layers: expected 2 ratios, one for each layer, found 1"
    );
    for wrong in [json!([]), json!([2.0]), json!("evn"), json!(1)] {
        assert!(
            refusal::<Given>(&data, json!({ "layers": wrong })).starts_with("layers: expected")
        );
    }
}

#[test]
fn a_pyramid_keeps_the_mean() {
    let scores: Vec<f32> = (0..1000_u16).map(f32::from).collect();
    let sizes = |target: usize, params: Value| -> Vec<usize> {
        let sizes = (0..5).map(|index| {
            let data = LayerData { layer: index, layers: 5, ..layer(&[&scores], target) };
            kept(&data, params.clone())[0].len()
        });
        sizes.collect()
    };
    let pyramid = |window: usize| json!({ "layers": "pyramid", "pyramid_window": window });
    // 400 / 20 = 20 and 780; with a window of 64 the least would be too little.
    assert_eq!(sizes(400, pyramid(8)), [780, 590, 400, 210, 20]);
    assert_eq!(sizes(400, pyramid(64)), [400; 5]);
    // The most is bounded by the entries without the window.
    assert_eq!(sizes(700, pyramid(64)), [936, 818, 700, 582, 464]);
    assert_eq!(sizes(1000, pyramid(64)), [1000; 5]);
}

#[test]
fn merging_moves_values_to_the_most_similar_key() {
    let mut data = layer(&[&[1.0, 3.0, -2.0]], 1);
    data.kv_heads[0].values = vec![2.0, 4.0, 8.0];
    let kept = data.press::<Given>(&json!({ "merge": true })).unwrap();
    assert_eq!((kept[0].entries.as_slice(), kept[0].keys.is_none()), ([1].as_slice(), true));
    // Only entry 0 points the same way: weight 2 / (2 + 4).
    let expected = (4.0 + 2.0 / 3.0) / (1.0 + 1.0 / 3.0);
    let value = kept[0].values.as_ref().unwrap()[0];
    assert!((value - expected).abs() < 1e-5, "{value}");
    let all = LayerData { target: 3, ..data };
    assert_eq!(all.press::<Given>(&json!({ "merge": true })).unwrap()[0].values, None);
}

#[test]
fn wrong_parameters_and_scores_are_refused() {
    let data = layer(&[A], 2);
    assert!(refusal::<Given>(&data, json!({ "sink": 1 })).ends_with("did you mean `sinks`?"));
    assert!(refusal::<Given>(&data, json!(3)).contains("expected a table"));
    assert_eq!(
        refusal::<Given>(&data, json!({ "unit": "block", "budget": "adakv" })),
        "budget: expected `layer` with unit `block`, found `adakv`; choose one of the two"
    );
    let mut short = data.clone();
    short.kv_heads[0].values.pop();
    assert!(refusal::<Given>(&short, json!({})).starts_with("layer: expected 6 keys"));
    short.heads = 0;
    assert!(
        refusal::<Given>(&LayerData { heads: 0, ..data.clone() }, json!({})).contains("0 heads")
    );
    let wrong = SideData { name: QUERIES.to_owned(), tokens: 2, values: vec![0.0; 5] };
    let wrong = LayerData { side: vec![wrong], ..data };
    assert_eq!(
        refusal::<Given>(&wrong, json!({})),
        "`queries`: its 5 numbers do not fit the layer"
    );
}
