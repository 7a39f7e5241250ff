//! Encode and decode of one codec, timed.
#![expect(clippy::result_large_err, reason = "the loader's errors, in a benchmark")]

use std::error::Error;
use std::hint::black_box;

use cpu_time::ThreadTime;
use serde_json::{Map, Value, json};
use strait_loader::{CodecEntry, CodecInstance, Dtype, MatrixMut, MatrixRef, Side};

use crate::input::hidden_states;

/// Values of a row.
const CHANNELS: [usize; 3] = [576, 2048, 5120];

/// Tokens of a long message, and messages of a sequence of single tokens.
const LONG: usize = 2048;
const SEQUENCE: usize = 256;

/// Rounds of a measurement: at least, and at most where they take less than the time.
const ROUNDS: (usize, usize) = (3, 9);
const ROUNDS_S: f64 = 0.5;

/// A run of this length says enough on its own.
const LONG_S: f64 = 4.0;

/// What is expected to take longer is left out.
const LONGEST_S: f64 = 15.0;

/// A codec with parameters.
pub(crate) struct Bench<'a> {
    pub(crate) entry: &'a CodecEntry,
    pub(crate) params: &'a Map<String, Value>,
    pub(crate) quick: bool,
}

impl Bench<'_> {
    /// Figures of every shape; shapes that would take minutes are left out.
    pub(crate) fn run(&self, label: &str) -> Result<Vec<Value>, Box<dyn Error>> {
        let mut figures = Vec::new();
        let mut before: Option<(usize, f64)> = None;
        // How time grows with the channels: an even guess, then what was seen.
        let mut power = 2.0;
        let widths = if self.quick { &CHANNELS[..1] } else { &CHANNELS };
        for channels in widths {
            let growth = |before: usize| *channels as f64 / before as f64;
            if before.is_some_and(|(before, s)| s * growth(before).powf(power) > LONGEST_S) {
                eprintln!("{label}: {channels} channels left out, they would take minutes");
                break;
            }
            let (artifact, fit_s) = self.fit(*channels)?;
            let mut longest = fit_s;
            for (tokens, messages) in [(1, SEQUENCE), (LONG, 1)] {
                let shape = Sequence { tokens, messages, channels: *channels };
                let (value, s) = self.shape(&shape, artifact.as_deref())?;
                eprintln!("{label}: {value}");
                figures.push(value);
                longest = longest.max(s);
            }
            if let Some((before, s)) = before {
                power = ((longest / s).ln() / growth(before).ln()).max(1.0);
            }
            before = Some((*channels, longest));
        }
        Ok(figures)
    }

    /// The artifact of a codec that has one, and the seconds it took.
    #[expect(clippy::type_complexity, reason = "an artifact, its time, or an error")]
    fn fit(&self, channels: usize) -> Result<(Option<Vec<u8>>, f64), Box<dyn Error>> {
        if !self.entry.descriptor().fits {
            return Ok((None, 0.0));
        }
        let values = hidden_states(LONG, channels, 2);
        let sides = self.sides(LONG);
        let bytes = bytemuck::cast_slice(&values);
        let sample =
            MatrixRef { rows: LONG, channels, dtype: Dtype::F32, bytes, side: &names(&sides) };
        let (s, artifact) = timed(|| self.entry.fit(self.params, &[sample]));
        Ok((Some(artifact?), s))
    }

    /// The figures of one shape, and the seconds of the slower direction.
    fn shape(
        &self,
        shape: &Sequence,
        artifact: Option<&[u8]>,
    ) -> Result<(Value, f64), Box<dyn Error>> {
        let Sequence { tokens, messages, channels } = *shape;
        let values = hidden_states(tokens * messages, channels, 1);
        let sides = self.sides(tokens);
        let sides = names(&sides);
        let open = |side| self.entry.open(side, self.params, artifact);
        let (mut encoder, mut decoder) = (open(Side::Encoder)?, open(Side::Decoder)?);
        let mut payloads = vec![Vec::new(); messages];
        let mut encode = |encoder: &mut CodecInstance| -> Result<(), Box<dyn Error>> {
            encoder.reset()?;
            for (values, payload) in values.chunks(tokens * channels).zip(&mut payloads) {
                let bytes = bytemuck::cast_slice(black_box(values));
                let dtype = Dtype::F32;
                let message = MatrixRef { rows: tokens, channels, dtype, bytes, side: &sides };
                encoder.encode(message, payload)?;
            }
            Ok(())
        };
        let encode_s = median_s(|| encode(&mut encoder))?;
        let mut decoded = vec![0; tokens * channels * 4];
        let mut decode = || -> Result<(), Box<dyn Error>> {
            decoder.reset()?;
            for payload in &payloads {
                let bytes = &mut decoded[..];
                let message = MatrixMut { rows: tokens, channels, dtype: Dtype::F32, bytes };
                decoder.decode(black_box(payload), message)?;
            }
            Ok(())
        };
        let decode_s = median_s(&mut decode)?;
        let count = (tokens * messages * channels) as f64;
        let bytes: usize = payloads.iter().map(Vec::len).sum();
        let speed = |s: f64| {
            let gb_s = rounded(count * 4.0 / s / 1e9);
            json!({ "gb_s": gb_s, "ns_token": (s * 1e9 / (tokens * messages) as f64).round() })
        };
        let value = json!({
            "tokens": tokens,
            "channels": channels,
            "bits_value": rounded(bytes as f64 * 8.0 / count),
            "encode": speed(encode_s),
            "decode": speed(decode_s),
        });
        Ok((value, encode_s.max(decode_s)))
    }

    /// Side information of a message: something for every name.
    fn sides(&self, rows: usize) -> Vec<(String, Vec<f32>)> {
        let values: Vec<f32> = (0..rows).map(|row| 1.0 / (1.0 + row as f32)).collect();
        let names = &self.entry.descriptor().side_information;
        names.iter().map(|name| (name.clone(), values.clone())).collect()
    }
}

/// Messages of one sequence.
struct Sequence {
    tokens: usize,
    messages: usize,
    channels: usize,
}

fn names(sides: &[(String, Vec<f32>)]) -> Vec<(&str, &[f32])> {
    sides.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect()
}

/// The median time of some runs after one that is not counted, unless that one is long.
fn median_s(mut run: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let (first, result) = timed(&mut run);
    result?;
    if first > LONG_S {
        return Ok(first);
    }
    let mut rounds = Vec::new();
    while rounds.len() < ROUNDS.0
        || (rounds.len() < ROUNDS.1 && rounds.iter().sum::<f64>() < ROUNDS_S)
    {
        let (s, result) = timed(&mut run);
        result?;
        rounds.push(s);
    }
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[rounds.len() / 2])
}

/// Time of this thread on its core: other programs at work count little.
fn timed<T>(run: impl FnOnce() -> T) -> (f64, T) {
    let start = ThreadTime::now();
    let result = run();
    (start.elapsed().as_secs_f64(), result)
}

/// Four digits, so that a table can be read.
fn rounded(value: f64) -> f64 {
    let digits = 4 - 1 - value.abs().max(1e-9).log10().floor() as i32;
    let unit = 10_f64.powi(digits.clamp(0, 9));
    (value * unit).round() / unit
}
