//! Relevance of attention heads: how much of what a model gets right passes through each of them.

use strait_backend::{Gradients, Value, backend};
use strait_ops::{Hidden, OpsError};

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::source::TensorSource;
use crate::tensors::Tensors;

/// For every layer, the share of each query head in the layer's relevance, by attention times
/// gradient, rolled out from the last layer to the first (Chefer et al. 2021,
/// <https://arxiv.org/abs/2103.15679>):
///
/// - `L` is the sum of the log-likelihoods of a window's tokens, each given those before it;
/// - `R[h][i][j] = max(0, A[h][i][j] dL/dA[h][i][j])` for a head's probabilities `A`;
/// - head `h` scores `sum over i, j of r[i] R[h][i][j]`, where `r` begins as 1 for every token that
///   predicts one, and becomes `r[j] + mean over heads of sum over i of r[i] R[h][i][j]` below the
///   layer;
/// - a layer's scores are summed over the windows and divided by their sum.
///
/// Computed in f32 on the CPU, one layer at a time: memory holds one layer and the hidden states of
/// all windows before every layer. The routing of a mixture of experts is treated as constant. `step`
/// receives the work done and the total, in layers.
///
/// # Errors
/// When a tensor does not fit, a token is outside the vocabulary, a window is too short to predict
/// anything, or the backend fails.
pub fn head_relevance(
    source: &dyn TensorSource,
    windows: &[Vec<u32>],
    step: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Vec<f64>>, ModelError> {
    let mut config = ModelConfig::from_json(source.config())?;
    config.tied_head = Tensors::new(source, &config).tied_head()?;
    let tensors = Tensors::new(source, &config);
    check(&config, windows)?;
    let missing = |reason: String| ModelError::DeviceMissing { device: "gradients".into(), reason };
    let library = backend().map_err(|error| missing(error.to_string()))?;
    let mut ops = library.gradients(&config.shape).map_err(missing)?;
    let ops = &mut *ops;
    let layers = config.layers;
    let load = |ops: &mut dyn Gradients, number: usize| -> Result<Value, ModelError> {
        let attention = tensors.attention(number)?;
        let mlp = tensors.mlp(number, |network| network)?;
        Ok(ops.layer(attention, mlp, tensors.layer(number)?.parallel)?)
    };

    // The input states of every layer, followed by the output of the last.
    let mut states = vec![ops.embed(tensors.embedding()?, tensors.positions()?, windows)?];
    for number in 0..layers {
        step(number, 2 * layers);
        let layer = load(ops, number)?;
        let next = states[number].iter().map(|x| ops.forward(x, &*layer));
        let next = next.collect::<Result<_, OpsError>>()?;
        states.push(next);
    }

    let table = if config.tied_head { tensors.embedding()? } else { tensors.head()? };
    let head = ops.head(tensors.final_norm()?, table, tensors.head_bias()?)?;
    let last = states.pop().unwrap_or_default();
    let gradients = last.iter().zip(windows).map(|(x, tokens)| {
        ops.log_likelihood(x, &*head, &tokens[1..]).map(|(_, gradient)| gradient)
    });
    let mut gradients: Vec<Hidden> = gradients.collect::<Result<_, OpsError>>()?;
    let mut rollouts: Vec<Vec<f32>> = windows
        .iter()
        .map(|tokens| (1..=tokens.len()).map(|next| f32::from(next < tokens.len())).collect())
        .collect();
    let mut shares = Vec::new();
    for (number, states) in states.iter().enumerate().rev() {
        step(2 * layers - 1 - number, 2 * layers);
        let layer = load(ops, number)?;
        let mut counts = vec![0.0; config.blocks[number].attention.heads];
        for ((x, gradient), rollout) in states.iter().zip(&mut gradients).zip(&mut rollouts) {
            let back = ops.pull_back(x, &*layer, gradient, rollout)?;
            *gradient = back.gradient;
            counts.iter_mut().zip(back.heads).for_each(|(sum, own)| *sum += own);
            rollout.iter_mut().zip(back.tokens).for_each(|(sum, own)| *sum += own);
        }
        let (sum, even) = (counts.iter().sum::<f64>(), 1.0 / counts.len() as f64);
        let share = |count: f64| if sum > 0.0 { count / sum } else { even };
        shares.push(counts.into_iter().map(share).collect());
    }
    shares.reverse();
    Ok(shares)
}

fn check(config: &ModelConfig, windows: &[Vec<u32>]) -> Result<(), ModelError> {
    let vocab = config.shape.vocab;
    for tokens in windows {
        if tokens.len() < 2 {
            return Err(OpsError::size("window, tokens", "at least 2", tokens.len()).into());
        }
        if let Some(longest) = config.positions.filter(|&longest| tokens.len() > longest) {
            return Err(ModelError::TooLong { tokens: tokens.len(), longest });
        }
        if let Some(position) = tokens.iter().position(|&token| token as usize >= vocab) {
            return Err(ModelError::TokenRange { token: tokens[position], position, vocab });
        }
    }
    Ok(())
}
