//! Bits a value and signal-to-noise ratio of both codecs on files of hidden states.
//!
//! `cargo run --release -p strait-frontier --example rate -- [--history N] [--chunk N] [--skip ROWS] [--calibrate]
//! CHANNELS ROWS BITS,BITS… FILE…`
//!
//! A file holds rows of little-endian f32; ROWS of them, after the skipped ones, are one sequence. With
//! `--calibrate` each file is followed by one of calibration messages, and `frontier-fitted` is measured. The
//! noise is against the deviation of the median channel, without rows of more than four times the median norm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::print_stdout, reason = "the figures are for a program that reads them")]

use std::fs;

use strait_frontier::{Frontier, FrontierFitted, FrontierFittedParams, FrontierParams};
use strait_sdk::prelude::*;
use strait_sdk::serde_json::json;

fn main() {
    let (mut history, mut chunk, mut skip, mut fitted) = (2048, 2048, 0, false);
    let mut words = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(word) = args.next() {
        let mut number = || args.next().unwrap().parse::<usize>().unwrap();
        match word.as_str() {
            "--history" => history = number(),
            "--chunk" => chunk = number(),
            "--skip" => skip = number(),
            "--calibrate" => fitted = true,
            _ => words.push(word),
        }
    }
    let [channels, rows, bits, files @ ..] = words.as_slice() else { panic!("see the head") };
    let (channels, rows): (usize, usize) = (channels.parse().unwrap(), rows.parse().unwrap());
    let row_bytes = channels * 4;
    let inputs: Vec<(Vec<u8>, Vec<u8>)> = files
        .chunks(if fitted { 2 } else { 1 })
        .map(|pair| {
            let bytes = fs::read(&pair[0]).unwrap();
            let bytes = bytes[skip * row_bytes..][..rows * row_bytes].to_vec();
            let artifact = pair.get(1).map_or(Vec::new(), |file| {
                let samples = fs::read(file).unwrap();
                let samples: Vec<Message<'_>> = samples
                    .chunks_exact(2048 * row_bytes)
                    .map(|bytes| Message::new(shape(2048, channels), bytes, &[]).unwrap())
                    .collect();
                let params = FrontierFittedParams::from_json(&json!({})).unwrap();
                FrontierFitted::fit(&params, &samples).unwrap()
            });
            (bytes, artifact)
        })
        .collect();
    for bits in bits.split(',') {
        let params = json!({ "bits": bits.parse::<f64>().unwrap(), "history": history });
        let (mut rate, mut noise) = (0.0, 0.0);
        for (bytes, artifact) in &inputs {
            let (payload, decoded) = if fitted {
                let open = || {
                    let params = FrontierFittedParams::from_json(&params).unwrap();
                    FrontierFitted::open_fitted(params, artifact).unwrap()
                };
                send(open(), open(), bytes, channels, chunk)
            } else {
                let open = || Frontier::open(FrontierParams::from_json(&params).unwrap()).unwrap();
                send(open(), open(), bytes, channels, chunk)
            };
            rate += payload as f64 * 8.0 / (rows * channels) as f64 / inputs.len() as f64;
            noise += decibels(bytes, &decoded, channels) / inputs.len() as f64;
        }
        println!("{bits} {rate:.4} {noise:.3}");
    }
}

fn shape(rows: usize, channels: usize) -> Shape {
    Shape { rows, channels, dtype: Dtype::F32 }
}

/// Payload bytes of a sequence, and what is decoded.
fn send<C: Codec>(
    mut encoder: C,
    mut decoder: C,
    bytes: &[u8],
    channels: usize,
    chunk: usize,
) -> (usize, Vec<u8>) {
    let (mut sent, mut decoded) = (0, bytes.to_vec());
    for (bytes, out) in
        bytes.chunks(chunk * channels * 4).zip(decoded.chunks_mut(chunk * channels * 4))
    {
        let shape = shape(bytes.len() / channels / 4, channels);
        let mut payload = Vec::new();
        encoder.encode(Message::new(shape, bytes, &[]).unwrap(), &mut payload).unwrap();
        decoder.decode(&payload, &mut MessageMut::new(shape, out).unwrap()).unwrap();
        sent += payload.len();
    }
    (sent, decoded)
}

fn decibels(bytes: &[u8], decoded: &[u8], channels: usize) -> f64 {
    let floats = |bytes: &[u8]| -> Vec<f64> {
        bytes.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
    };
    let (x, y) = (floats(bytes), floats(decoded));
    let norm = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>();
    let limit = 16.0 * median(x.chunks(channels).map(norm).collect());
    let usual: Vec<(&[f64], &[f64])> =
        x.chunks(channels).zip(y.chunks(channels)).filter(|(x, _)| norm(x) <= limit).collect();
    let count = usual.len() as f64;
    let variance = |channel: usize| {
        let mean = usual.iter().map(|(x, _)| x[channel]).sum::<f64>() / count;
        usual.iter().map(|(x, _)| (x[channel] - mean).powi(2)).sum::<f64>() / count
    };
    let error: f64 =
        usual.iter().flat_map(|(x, y)| x.iter().zip(*y)).map(|(x, y)| (x - y).powi(2)).sum::<f64>()
            / (count * channels as f64);
    10.0 * (median((0..channels).map(variance).collect()) / error).log10()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
