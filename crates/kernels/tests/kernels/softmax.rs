//! The softmax of attention, by runs of positions and by given ones.

use strait_kernels::{Keys, Shares, divide_rows, shares};

use crate::device::{TYPES, Type, assert_close, device, integers, read, upload, values};

#[test]
fn shares_of_visible_keys() {
    let Some(client) = device("shares_of_visible_keys") else { return };
    let (batch, heads, kv_heads, rows) = (2, 4, 2, 3);
    for (count, of, window, normalised, cap) in [
        (5, Type::F32, None, false, None),
        (70, Type::Bf16, Some(4), false, None),
        (1030, Type::F16, None, false, None),
        (70, Type::F32, Some(40), true, None),
        (70, Type::F32, None, false, Some(2.5f32)),
    ] {
        let scores: Vec<f64> = values(batch * heads * rows * count, 9, Type::F32)
            .iter()
            .map(|score| f64::from((score * 20.0) as f32))
            .collect();
        let given = upload(&client, &scores, &[batch, heads, rows, count], Type::F32);
        let scale = 0.37f32;
        for scattered in [false, true] {
            let places: Vec<i32> = (0..kv_heads * count)
                .map(|i| if i % 11 == 10 { i32::MAX } else { (i * 31 % count) as i32 })
                .collect();
            let positions = integers(&client, &places, &[kv_heads, count]);
            let first_query = count - rows;
            let keys = Keys {
                first_query,
                first_key: 0,
                positions: scattered.then_some(&positions),
                window,
            };
            let wanted = Shares { scale, cap, dtype: of.storage(), normalised };
            let [found, sums] = shares(&client, &given, kv_heads, &keys, wanted);
            let (found, sums) = (read(&client, &found, of), read(&client, &sums, Type::F32));
            for (row, scores) in scores.chunks_exact(count).enumerate() {
                let query = (first_query + row % rows) as i64;
                let head = row / rows % heads / (heads / kv_heads);
                let place = |key: usize| {
                    if scattered { i64::from(places[head * count + key]) } else { key as i64 }
                };
                let visible = |key: usize| {
                    place(key) <= query
                        && window.is_none_or(|window| place(key) + window as i64 > query)
                };
                let seen = (0..count).filter(|&key| visible(key));
                let scaled = |key: usize| {
                    let score = scores[key] * f64::from(scale);
                    let capped = |cap: f64| cap * (score / cap).tanh();
                    cap.map_or(score, |cap| capped(f64::from(cap)))
                };
                let highest = seen.clone().map(scaled).fold(f64::MIN, f64::max);
                let total: f64 = seen.map(|key| (scaled(key) - highest).exp()).sum();
                let expected: Vec<f64> = (0..count)
                    .map(|key| {
                        let share = if visible(key) { (scaled(key) - highest).exp() } else { 0.0 };
                        if normalised { share / total } else { share }
                    })
                    .collect();
                let what = format!("{of:?} {count} keys, scattered {scattered}, row {row}");
                assert_close(&what, &found[row * count..][..count], &expected, of.epsilon() * 8.0);
                assert_close(&what, &[sums[row]], &[total], 4e-6);
            }
        }
    }
}

#[test]
fn contexts_are_divided_and_put_in_their_place() {
    let Some(client) = device("contexts_are_divided_and_put_in_their_place") else { return };
    let (batch, heads, rows, channels) = (2, 3, 2, 5);
    for of in TYPES {
        let context = values(batch * heads * rows * channels, 10, Type::F32);
        let sums: Vec<f64> = (0..batch * heads * rows).map(|i| 1.0 + i as f64).collect();
        let given = upload(&client, &context, &[batch, heads, rows, channels], Type::F32);
        let totals = upload(&client, &sums, &[batch * heads * rows], Type::F32);
        let result = divide_rows(&client, &given, &totals, of.storage());
        assert_eq!(result.shape()[..], [batch, rows, heads, channels]);
        let mut expected = vec![0.0; context.len()];
        for (at, value) in context.iter().enumerate() {
            let (row, channel) = (at / channels, at % channels);
            let (sequence, head, token) = (row / rows / heads, row / rows % heads, row % rows);
            let to = ((sequence * rows + token) * heads + head) * channels + channel;
            expected[to] = of.round(value / sums[row]);
        }
        assert_close(&format!("{of:?}"), &read(&client, &result, of), &expected, of.epsilon());
    }
}
