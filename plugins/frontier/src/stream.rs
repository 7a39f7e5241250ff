//! What both sides know of a sequence, and how one row is coded with it.
//!
//! Everything here that steers the coder is a plain product, sum or quotient of single numbers in a
//! fixed order, so that every machine gets the same bits.

use strait_sdk::simd::vectorize;

use crate::history::{History, Reference};
use crate::search::{REFERENCES, Search};
use crate::symbols::{Port, Values, level};
use crate::table::Table;
use crate::trellis::{State, Trellis};

/// The state of one sequence; encoder and decoder make the same steps.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// Size of a quantization step, in units of the coefficients.
    step: f32,
    rows: u32,
    state: Channels,
    history: History,
    search: Option<Search>,
    trellis: Trellis,
    expected: Vec<f32>,
    indices: Vec<i32>,
    found: Vec<Reference>,
    values: Values,
    more: [Table; REFERENCES + 1],
    length: Table,
    weight: Table,
}

/// One number for each channel.
#[derive(Clone, Debug)]
struct Channels {
    /// Running mean of the coefficients.
    mean: Vec<f32>,
    /// Running mean square about the mean, in steps².
    power: Vec<f32>,
    /// Running mean magnitude of what is coded, in steps, and about one over it.
    scale: Vec<f32>,
    inverse: Vec<f32>,
    /// Running products of coefficients and predictions: their quotient weighs the prediction.
    product: Vec<f32>,
    square: Vec<f32>,
    /// What the references predict, about the mean; then the whole prediction.
    reference: Vec<f32>,
    prediction: Vec<f32>,
    /// What is coded of this row, in steps: as it is, and as the decoder has it.
    rest: Vec<f32>,
    coded: Vec<f32>,
}

/// How fast the local activity follows the values.
const ACTIVITY: f32 = 1.0 / 16.0;

impl Stream {
    /// A new sequence with so many earlier rows kept; an encoder searches them for references.
    pub(crate) fn new(channels: usize, history: usize, encoder: bool) -> Stream {
        let all = |value: f32| vec![value; channels];
        Stream {
            step: 0.0,
            rows: 0,
            state: Channels {
                mean: all(0.0),
                power: all(1.0),
                scale: all(1.0),
                inverse: all(1.0),
                product: all(0.0),
                square: all(0.0),
                reference: all(0.0),
                prediction: all(0.0),
                rest: all(0.0),
                coded: all(0.0),
            },
            history: History::new(channels, history),
            search: encoder.then(|| Search::new(channels, history)),
            trellis: Trellis::new(channels),
            expected: all(1.0),
            indices: vec![0; channels],
            found: Vec::with_capacity(REFERENCES),
            values: Values::new(),
            more: std::array::from_fn(|_| Table::new(7)),
            length: Table::new(8),
            weight: Table::new(8),
        }
    }

    /// Coefficients of a row.
    pub(crate) fn width(&self) -> usize {
        self.state.mean.len()
    }

    /// Size of a quantization step.
    pub(crate) fn step(&self) -> f32 {
        self.step
    }

    /// Changes the step; what is counted in steps is converted.
    pub(crate) fn set_step(&mut self, step: f32) {
        if step > 0.0 && self.step > 0.0 {
            let ratio = (self.step / step).clamp(1e-6, 1e6);
            self.state.scale.iter_mut().for_each(|scale| *scale *= ratio);
            self.state.power.iter_mut().for_each(|power| *power *= ratio * ratio);
        }
        self.step = step;
    }

    /// Starts from known deviations of the coefficients, which must be finite.
    pub(crate) fn expect(&mut self, deviations: &[f32]) {
        let inverse = if self.step > 0.0 { 1.0 / self.step } else { 0.0 };
        let Channels { power, scale, .. } = &mut self.state;
        for ((power, scale), deviation) in power.iter_mut().zip(scale).zip(deviations) {
            let steps = (deviation * inverse).clamp(0.01, 1e6);
            *power = steps * steps;
            *scale = 0.7 * steps;
        }
    }

    /// Codes one row. The encoder gives the coefficients; both get back what the decoder has.
    pub(crate) fn code<P: Port>(&mut self, port: &mut P, row: &mut [f32]) {
        if let Some(search) = &mut self.search {
            let Channels { mean, power, .. } = &self.state;
            search.find(row, mean, power, self.step, &self.history, &mut self.found);
        }
        let referred = self.refer(port);
        let inverse = if self.step > 0.0 { 1.0 / self.step } else { 0.0 };
        let state = &mut self.state;
        vectorize(
            #[inline(always)]
            || state.predict(row, inverse),
        );
        self.code_values(port);
        self.rows = self.rows.saturating_add(1);
        let (step, rows) = (self.step, self.rows);
        let state = &mut self.state;
        vectorize(
            #[inline(always)]
            || state.learn(row, step, inverse, referred, rows),
        );
        self.history.push(row);
        if let Some(search) = &mut self.search {
            search.push(row, &self.state.mean);
        }
    }

    /// Codes the references, and adds up what they predict.
    fn refer<P: Port>(&mut self, port: &mut P) -> bool {
        let reference = &mut self.state.reference;
        reference.fill(0.0);
        let mut count = 0;
        for more in &mut self.more[..REFERENCES] {
            let given = self.found.get(count).copied();
            if port.symbol(more, u32::from(given.is_some())) == 0 {
                break;
            }
            let Reference { age, weight } = given.unwrap_or(Reference { age: 1, weight: 0 });
            let length = port.symbol(&mut self.length, age.ilog2());
            #[allow(clippy::cast_possible_truncation)]
            let low = port.bits(age as u32, length) & ((1 << length) - 1);
            let age = (1 << length) | low as usize;
            let weight = Reference::weight_value(port.symbol(&mut self.weight, weight));
            count += 1;
            // A damaged payload may refer to nothing.
            let Some(past) = self.history.get(age) else { continue };
            for ((sum, past), mean) in reference.iter_mut().zip(past).zip(&self.state.mean) {
                *sum += weight * (past - mean);
            }
        }
        count > 0
    }

    /// Codes what the prediction leaves, channel by channel.
    fn code_values<P: Port>(&mut self, port: &mut P) {
        let Channels { scale, inverse, rest, coded, .. } = &mut self.state;
        if self.search.is_some() {
            let (trellis, expected, indices) =
                (&mut self.trellis, &mut self.expected, &mut self.indices);
            let mut activity = 1.0_f32;
            for (((scale, inverse), rest), expected) in
                scale.iter().zip(&*inverse).zip(&*rest).zip(expected.iter_mut())
            {
                *expected = scale * activity;
                activity += (rest.abs() * inverse - activity) * ACTIVITY;
                activity = activity.clamp(0.05, 16.0);
            }
            vectorize(
                #[inline(always)]
                || trellis.quantize(rest, expected, indices),
            );
        }
        let values = &mut self.values;
        let mut activity = 1.0_f32;
        let mut state = State::default();
        for (((scale, inverse), index), coded) in
            scale.iter().zip(&*inverse).zip(&self.indices).zip(coded.iter_mut())
        {
            let expected = scale * activity;
            let value = values.code(port, level(expected), state.set(), *index);
            let index = value.unsigned_abs();
            let magnitude = state.magnitude(index);
            state = state.next(index);
            *coded = if value < 0 { -magnitude } else { magnitude };
            activity += (magnitude * inverse - activity) * ACTIVITY;
            activity = activity.clamp(0.05, 16.0);
        }
    }
}

impl Channels {
    /// The prediction, and in the encoder what it leaves.
    #[inline(always)]
    fn predict(&mut self, row: &[f32], inverse: f32) {
        let weights = self.product.iter().zip(&self.square);
        let parts = self.mean.iter().zip(&self.reference).zip(weights);
        for (prediction, ((mean, reference), (product, square))) in
            self.prediction.iter_mut().zip(parts)
        {
            let weight = (product + PRIOR) / (square + PRIOR);
            *prediction = mean + weight.clamp(0.0, 1.25) * reference;
        }
        for ((inverse, scale), (rest, (row, prediction))) in self
            .inverse
            .iter_mut()
            .zip(&self.scale)
            .zip(self.rest.iter_mut().zip(row.iter().zip(&self.prediction)))
        {
            *inverse = 1.0 / (scale + 0.02);
            *rest = row - prediction;
        }
        self.rest.iter_mut().for_each(|rest| *rest *= inverse);
    }

    /// The row as the decoder has it, and what it teaches.
    #[inline(always)]
    #[allow(clippy::cast_precision_loss)]
    fn learn(&mut self, row: &mut [f32], step: f32, inverse: f32, referred: bool, rows: u32) {
        let mean_rate = 1.0 / (rows as f32).min(256.0);
        let scale_rate = 1.0 / (rows as f32 + 1.0).min(64.0);
        let parts = self.prediction.iter().zip(&self.coded);
        for (row, (prediction, coded)) in row.iter_mut().zip(parts) {
            *row = prediction + coded * step;
        }
        for (scale, coded) in self.scale.iter_mut().zip(&self.coded) {
            *scale += (coded.abs() - *scale) * scale_rate;
        }
        if referred {
            let parts = self.reference.iter().zip(row.iter().zip(&self.mean));
            for ((product, square), (reference, (row, mean))) in
                self.product.iter_mut().zip(&mut self.square).zip(parts)
            {
                let (reference, value) = (reference * inverse, (row - mean) * inverse);
                *product = *product * KEPT + reference * value;
                *square = *square * KEPT + reference * reference;
            }
        }
        for ((mean, power), row) in self.mean.iter_mut().zip(&mut self.power).zip(row.iter()) {
            let away = row - *mean;
            let steps = away * inverse;
            *power += (steps * steps - *power) * mean_rate;
            *mean += away * mean_rate;
        }
    }
}

/// How long the weights of the prediction remember.
const KEPT: f32 = 0.99;

/// Weight of the guess that the references predict well, in steps².
const PRIOR: f32 = 8.0;
