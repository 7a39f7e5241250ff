//! `[speed]`: times generation with every cache. Cells take turns, so that a machine that slows down
//! slows all of them.

use std::sync::atomic::Ordering;

use rayon::ThreadPool;
use strait_model::Stage;
use strait_schema::{Record, SpeedCounts, SpeedSection};

use crate::clock::Stopwatch;
use crate::commands::generate::{Sampler, Sampling, Sequence, never, plan_of_baseline};
use crate::error::RunnerError;
use crate::memory::{peak_bytes, release_devices, reserved_bytes, reset_peak};
use crate::ways::caches::{CachePlan, Model};

/// Number of context tokens in the warm-up.
const WARM_UP: usize = 256;

/// The inputs of the timing.
pub(crate) struct Speed<'a> {
    pub(crate) section: &'a SpeedSection,
    pub(crate) model: &'a Model<'a>,
    /// The text.
    pub(crate) tokens: &'a [u32],
    /// Tokens that end a text.
    pub(crate) ends: &'a [u32],
    pub(crate) stop: &'a std::sync::atomic::AtomicBool,
}

/// The figures of one generation.
struct Round {
    prefill_s: f64,
    decode_s: f64,
    cache_bytes: u64,
    cache_raw_bytes: u64,
    /// Peak bytes of the prefill and of the decoding after it.
    peaks: Option<[u64; 2]>,
}

impl Speed<'_> {
    /// Measures every cell; returns `false` if it was stopped earlier. The baseline has no entry in
    /// `plans`. A cell that fails causes a warning.
    pub(crate) fn measure(
        &self,
        pool: &ThreadPool,
        stages: &mut [Box<dyn Stage>],
        records: &mut [(&mut Record, Option<&CachePlan>)],
        tell: &mut dyn FnMut(&str),
    ) -> Result<bool, RunnerError> {
        let SpeedSection { contexts, new_tokens, repeats, warm_up, with_prefill } = self.section;
        for (record, _) in &mut *records {
            record.speed.clear();
        }
        let mut failed = vec![false; records.len()];
        for &context in contexts {
            let empty = SpeedCounts {
                context,
                new_tokens: *new_tokens,
                with_prefill: *with_prefill,
                prefill_s: Vec::new(),
                decode_s: Vec::new(),
                cache_bytes: 0,
                cache_raw_bytes: 0,
                peak_bytes: None,
                decode_peak_bytes: None,
            };
            let mut counts = vec![empty; records.len()];
            for round in 0..warm_up + repeats {
                let timed = round >= *warm_up;
                let length = if timed { context } else { context.min(WARM_UP) };
                for (index, (record, plan)) in records.iter_mut().enumerate() {
                    if self.stop.load(Ordering::Relaxed) {
                        return Ok(false);
                    }
                    if failed[index] {
                        continue;
                    }
                    if timed {
                        let round = round - warm_up + 1;
                        tell(&format!(
                            "speed of {} behind {context} tokens, {round}/{repeats}",
                            record.label
                        ));
                    }
                    let tokens = &self.tokens[..length];
                    match pool.install(|| self.round(stages, *plan, tokens)) {
                        Ok(round) if timed => add(&mut counts[index], &round),
                        Ok(_) => {}
                        Err(RunnerError::Cell { reason }) => {
                            record.warnings.push(format!("speed: {reason}"));
                            failed[index] = true;
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            for (index, counts) in counts.into_iter().enumerate().filter(|(i, _)| !failed[*i]) {
                records[index].0.speed.push(counts);
            }
        }
        Ok(true)
    }

    fn round(
        &self,
        stages: &mut [Box<dyn Stage>],
        plan: Option<&CachePlan>,
        context: &[u32],
    ) -> Result<Round, RunnerError> {
        // Memory is either the process's or the devices'; where a model spans both, no single figure
        // would be meaningful.
        let local = stages.iter().all(|stage| stage.reserved_bytes().is_none());
        let baseline = plan_of_baseline(self.model);
        let plan = plan.or(baseline.as_ref());
        strait_weights::release_free_memory();
        release_devices(stages);
        let reset = local && reset_peak();
        let mut sampler = Sampler::new(Sampling::GREEDY);
        let mut sequence = Sequence::new(stages, self.model, plan, false)?;
        let watch = Stopwatch::start();
        let mut logits = sequence.extend(context, plan.is_some())?;
        let prefill_s = watch.seconds();
        let bytes = sequence.bytes();
        sequence.settle();
        let prefill_peak = if local { peak_bytes() } else { reserved_bytes(sequence.stages()) };
        strait_weights::release_free_memory();
        release_devices(sequence.stages());
        let reset = !local || (reset && reset_peak());
        let watch = Stopwatch::start();
        for _ in 1..self.section.new_tokens {
            never(&mut logits, self.ends);
            let token = sampler.choose(&logits);
            logits = sequence.extend(&[token], false)?;
        }
        let decode_s = watch.seconds();
        let decode_peak = if local { peak_bytes() } else { reserved_bytes(sequence.stages()) };
        let peaks = prefill_peak.zip(decode_peak).filter(|_| reset);
        Ok(Round {
            prefill_s,
            decode_s,
            cache_bytes: bytes.stored,
            cache_raw_bytes: bytes.raw,
            peaks: peaks.map(|(prefill, decode)| [prefill, decode]),
        })
    }
}

/// Adds one repetition.
fn add(counts: &mut SpeedCounts, round: &Round) {
    counts.prefill_s.push(round.prefill_s);
    counts.decode_s.push(round.decode_s);
    counts.cache_bytes = round.cache_bytes;
    counts.cache_raw_bytes = round.cache_raw_bytes;
    if let Some([prefill, decode]) = round.peaks {
        counts.peak_bytes = counts.peak_bytes.max(Some(prefill.max(decode)));
        counts.decode_peak_bytes = counts.decode_peak_bytes.max(Some(decode));
    }
}
