//! Norms, activations, rotary positions, and rows by index.

use strait_kernels::{Gate, NormFormula, Rotation, add_rows, gate, gather_rows, norm, rotate};

use crate::device::{TYPES, Type, assert_close, device, integers, read, upload, values};

#[test]
fn norms() {
    let Some(client) = device("norms") else { return };
    for of in TYPES {
        for (rows, channels) in [(3, 1), (5, 33), (2, 64), (2, 1031)] {
            let x = values(rows * channels, 1, of);
            let weight = values(channels, 2, of);
            let bias = values(channels, 3, Type::F32);
            let given = upload(&client, &x, &[rows, channels], of);
            for formula in [NormFormula::Rms, NormFormula::RmsOnce, NormFormula::Layer] {
                let once = formula != NormFormula::Rms;
                let weights =
                    upload(&client, &weight, &[channels], if once { Type::F32 } else { of });
                let biases = upload(&client, &bias, &[channels], Type::F32);
                let biases = once.then_some(&biases);
                let y = norm(&client, &given, &weights, biases, formula, 1e-5);
                let expected: Vec<f64> = x
                    .chunks_exact(channels)
                    .flat_map(|row| expected_norm(row, &weight, once.then_some(&bias), formula, of))
                    .collect();
                let what = format!("{formula:?} {of:?} {rows}x{channels}");
                assert_close(&what, &read(&client, &y, of), &expected, of.epsilon() * 4.0);
            }
        }
    }
}

fn expected_norm(
    row: &[f64],
    weight: &[f64],
    bias: Option<&Vec<f64>>,
    formula: NormFormula,
    of: Type,
) -> Vec<f64> {
    let count = row.len() as f64;
    let mean = if formula == NormFormula::Layer { row.iter().sum::<f64>() / count } else { 0.0 };
    let squares = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
    let deviation = (squares + 1e-5).sqrt();
    let value = |(at, x): (usize, &f64)| {
        let normed = (x - mean) / deviation;
        let normed = if formula == NormFormula::Rms { of.round(normed) } else { normed };
        of.round(normed * weight[at] + bias.map_or(0.0, |bias| bias[at]))
    };
    row.iter().enumerate().map(value).collect()
}

#[test]
fn activations() {
    let Some(client) = device("activations") else { return };
    const ROOT: f64 = 0.797_884_560_802_865_4;
    const CUBIC: f64 = 0.044_715;
    for of in TYPES {
        let x: Vec<f64> = values(1000, 4, of).iter().map(|x| of.round(x * 6.0)).collect();
        let up = values(1000, 5, of);
        let (given, ups) =
            (upload(&client, &x, &[10, 100], of), upload(&client, &up, &[10, 100], of));
        for kind in [
            Gate::Silu,
            Gate::Gelu,
            Gate::GeluTanh,
            Gate::GeluNew,
            Gate::GeluFast,
            Gate::Relu,
            Gate::ReluSquared,
        ] {
            let exact = |x: f64| match kind {
                Gate::Silu => x / (1.0 + (-x).exp()),
                Gate::Relu => x.max(0.0),
                Gate::ReluSquared => x.max(0.0).powi(2),
                Gate::Gelu => x * 0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
                _ => 0.5 * x * (1.0 + (ROOT * (x + CUBIC * x * x * x)).tanh()),
            };
            let plain: Vec<f64> = x.iter().map(|&x| exact(x)).collect();
            let gated: Vec<f64> =
                plain.iter().zip(&up).map(|(x, up)| of.round(of.round(*x) * up)).collect();
            let tolerance = of.epsilon() * 4.0;
            let y = gate(&client, &given, None, kind);
            assert_close(&format!("{kind:?} {of:?}"), &read(&client, &y, of), &plain, tolerance);
            let y = gate(&client, &given, Some(&ups), kind);
            assert_close(
                &format!("{kind:?} {of:?}, gated"),
                &read(&client, &y, of),
                &gated,
                tolerance,
            );
        }
    }
}

/// The error function by its series, which needs no table: |x| stays below 5.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

#[test]
fn rotations() {
    let Some(client) = device("rotations") else { return };
    let (heads, tokens, channels, pairs, length) = (3, 5, 10, 4, 9);
    let table = |f: fn(f64) -> f64| -> Vec<f64> {
        (0..length * pairs).map(|i| f((i / pairs) as f64 * 0.3 / (1 + i % pairs) as f64)).collect()
    };
    let (cos, sin) = (table(f64::cos), table(f64::sin));
    let upload_table = |values: &Vec<f64>| upload(&client, values, &[length, pairs], Type::F32);
    let (cosines, sines) = (upload_table(&cos), upload_table(&sin));
    for of in TYPES {
        let x = values(2 * heads * tokens * channels, 6, of);
        // As projections leave them: tokens before heads.
        let given = upload(&client, &x, &[2, tokens, heads, channels], of);
        let (shape, strides) = (given.shape().to_vec(), given.strides().to_vec());
        let shape = [shape[0], shape[2], shape[1], shape[3]];
        let strides = [strides[0], strides[2], strides[1], strides[3]];
        let given =
            strait_kernels::TensorHandle::new(given.handle, shape, &strides[..], of.storage());
        let places: Vec<i32> = (0..heads * tokens).map(|i| (i as i32 * 7) % 13 - 2).collect();
        let positions = integers(&client, &places, &[heads * tokens]);
        for rounded_once in [true, false] {
            let rotation = Rotation { cos: &cosines, sin: &sines, rounded_once };
            for whole in [true, false] {
                let (first, places_given) = if whole { (4, None) } else { (0, Some(&positions)) };
                let y = rotate(&client, &given, &rotation, first, places_given);
                let y = read(&client, &y, of);
                let mut expected = Vec::new();
                for sequence in 0..2 {
                    for head in 0..heads {
                        for token in 0..tokens {
                            let row = &x[((sequence * tokens + token) * heads + head) * channels..];
                            let place = places[head * tokens + token].clamp(0, length as i32 - 1);
                            let position = if whole { 4 + token } else { place as usize };
                            expected.extend((0..channels).map(|c| {
                                let pair = position * pairs + c % pairs;
                                match c / pairs {
                                    0 => row[c] * cos[pair] - row[c + pairs] * sin[pair],
                                    1 => row[c] * cos[pair] + row[c - pairs] * sin[pair],
                                    _ => row[c],
                                }
                            }));
                        }
                    }
                }
                let what = format!("{of:?} rounded once {rounded_once}, whole {whole}");
                assert_close(&what, &y, &expected, of.epsilon() * 2.0);
            }
        }
    }
}

#[test]
fn rows_by_index() {
    let Some(client) = device("rows_by_index") else { return };
    let (rows, width) = (7, 300);
    for of in TYPES {
        let table = values(rows * width, 7, of);
        let added = values(2 * width, 8, of);
        let given = upload(&client, &table, &[rows, width], of);
        let indices = integers(&client, &[6, 0, 3, 7, -1], &[5]);
        let positions = upload(&client, &added, &[2, width], of);
        let y = read(&client, &gather_rows(&client, &given, &indices, 1.0, None), of);
        assert_eq!(y[..width], table[6 * width..]);
        assert_eq!(y[2 * width..3 * width], table[3 * width..4 * width]);
        assert!(y[3 * width..].iter().all(|value| value.is_nan()), "rows outside of the table");
        let y = read(&client, &gather_rows(&client, &given, &indices, 3.0, Some(&positions)), of);
        for (at, value) in y[width..2 * width].iter().enumerate() {
            assert_eq!(*value, of.round(of.round(table[at] * 3.0) + added[width + at]));
        }

        let target = upload(&client, &table, &[rows, width], of);
        let shares = upload(&client, &[0.25, 0.5], &[2], Type::F32);
        let to = integers(&client, &[4, 1], &[2]);
        add_rows(&client, &target, &positions, &to, &shares);
        let y = read(&client, &target, of);
        for row in 0..rows {
            let part = [4, 1].iter().position(|&to| to == row);
            for at in 0..width {
                let own = table[row * width + at];
                let expected = match part {
                    Some(part) => {
                        of.round(own + of.round(added[part * width + at] * [0.25, 0.5][part]))
                    }
                    None => own,
                };
                assert_eq!(y[row * width + at], expected, "{of:?} {row} {at}");
            }
        }
    }
}
