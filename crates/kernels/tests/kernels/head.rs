//! Likelihood, divergence and agreement of rows of logits.

use strait_kernels::{Reference, compare};

use crate::device::{Type, assert_close, device, integers, read, read_integers, upload, values};

#[test]
fn figures_of_logits() {
    let Some(client) = device("figures_of_logits") else { return };
    for (rows, vocab) in [(3, 7), (2, 1000), (1, 70_001)] {
        let scaled = |seed, size: f64| -> Vec<f64> {
            let values = values(rows * vocab, seed, Type::F32);
            values.iter().map(|value| f64::from((value * size) as f32)).collect()
        };
        let reference = scaled(12, 12.0);
        let noise = scaled(13, 0.5);
        let own: Vec<f64> =
            reference.iter().zip(&noise).map(|(a, b)| f64::from((a + b) as f32)).collect();
        let targets: Vec<i32> = (0..rows).map(|row| (row * 31 % vocab) as i32).collect();
        let shape = [rows, vocab];
        let (of_own, of_reference) = (
            upload(&client, &own, &shape, Type::F32),
            upload(&client, &reference, &shape, Type::F32),
        );
        let wanted = integers(&client, &targets, &[rows]);
        let kept = compare(&client, &of_reference, &wanted, None);
        let other = Reference { logits: &of_reference, log_total: &kept.log_total, top: &kept.top };
        let found = compare(&client, &of_own, &wanted, Some(&other));
        let same = compare(&client, &of_reference, &wanted, Some(&other));

        let figures = read(&client, &kept.figures, Type::F32);
        let compared = read(&client, &found.figures, Type::F32);
        let unchanged = read(&client, &same.figures, Type::F32);
        for row in 0..rows {
            let logits = |of: &[f64]| of[row * vocab..][..vocab].to_vec();
            let (p, q) = (logs(&logits(&reference)), logs(&logits(&own)));
            let target = targets[row] as usize;
            let kld: f64 = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
            let what = format!("{vocab} tokens, row {row}");
            let expected = [-p[target], p[best(&p)].exp(), 1.0];
            assert_close(&what, &figures[row * 3..][..3], &expected, 2e-6);
            let agree = f64::from(u8::from(best(&p) == best(&q)));
            let expected = [-q[target], kld, agree];
            assert_close(&what, &compared[row * 3..][..3], &expected, 2e-6);
            // What is the same to the bit diverges by nothing at all.
            assert_eq!(unchanged[row * 3 + 1..][..2], [0.0, 1.0], "{what}");
            assert_eq!(read_integers(&client, &kept.top)[row], best(&p) as i32);
        }
    }
}

#[test]
fn of_equal_logits_the_first_is_the_most_likely() {
    let Some(client) = device("of_equal_logits_the_first_is_the_most_likely") else { return };
    let mut logits = vec![0.5; 600];
    logits[77] = 2.0;
    logits[333] = 2.0;
    logits[590] = 2.0;
    let given = upload(&client, &logits, &[1, 600], Type::F32);
    let kept = compare(&client, &given, &integers(&client, &[0], &[1]), None);
    assert_eq!(read_integers(&client, &kept.top), [77]);
}

fn logs(logits: &[f64]) -> Vec<f64> {
    let highest = logits.iter().fold(f64::MIN, |a, b| a.max(*b));
    let total: f64 = logits.iter().map(|logit| (logit - highest).exp()).sum();
    logits.iter().map(|logit| logit - highest - total.ln()).collect()
}

fn best(values: &[f64]) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = at;
        }
    }
    best
}
