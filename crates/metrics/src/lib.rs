//! Pure functions from slices and sums to numbers: perplexity with paired errors and with bootstrap
//! intervals, Kullback–Leibler divergence, change of probability, top-1 agreement, reconstruction error,
//! lower bounds on the rate at that error, noise floor, Pareto fronts and break-even bandwidth.
//!
//! Nothing here reads a file or a clock, and nothing depends on the order of threads: the same values in the
//! same order give the same bits. Types that end up in a record keep raw sums and serialise; ratios are
//! computed when they are read. Sums are `f64` throughout.

mod agreement;
mod bootstrap;
mod confidence;
mod distortion;
mod divergence;
mod likeness;
mod noise;
mod paired;
mod rate;
mod reference;
mod shift;
mod tradeoff;

pub use agreement::Agreement;
pub use bootstrap::{Bootstrap, Interval};
pub use confidence::{CONFIDENCE_EDGES, ConfidenceBucket, confidence_buckets};
pub use distortion::Distortion;
pub use divergence::{Divergence, quantile};
pub use likeness::{
    cosine, histogram_divergence_sorted, jaccard_of_largest, ranks, spearman, wasserstein_sorted,
};
pub use noise::NoiseFloor;
pub use paired::{Paired, PairedSums, bits_per_byte};
pub use rate::{Crossing, Shortfall};
pub use reference::{argmax, kld_f64, log_softmax_f64, nll_f64};
pub use shift::ProbabilityShift;
pub use tradeoff::{break_even_bits_per_s, pareto_front};
