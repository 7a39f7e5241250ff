//! What taps are shown inside a block: copies tensors to host memory and back.

use burn_tensor::{FloatDType, Tensor, TensorData};
use strait_ops::{Dtype, Hidden, LayerTap, OpsError, Part, Site};

use crate::failure::reason;
use crate::kernels::Kernels;
use crate::ops::mlp::Routes;
use crate::ops::tensors::{Linear, Maker, float};

/// A layer's tap, with what is needed to pass tensors to it.
pub(crate) struct Tapping<'a, 't, B: Kernels> {
    pub(crate) tap: &'a mut LayerTap<'t>,
    pub(crate) maker: &'a Maker<B>,
    /// The device's name in messages.
    pub(crate) name: &'a str,
}

impl<B: Kernels> Tapping<'_, '_, B> {
    /// Passes keys or values `[batch, heads, tokens, dim]` through a tap.
    pub(crate) fn heads(&mut self, site: Site, x: Tensor<B, 4>) -> Result<Tensor<B, 4>, OpsError> {
        if !self.tap.wants(site) {
            return Ok(x);
        }
        let [batch, heads, tokens, dim] = x.dims();
        let rows = x.swap_dims(1, 2).reshape([batch, tokens, heads * dim]);
        let rows = host(rows, self.maker.dtype, self.name)?;
        let left = upload(&self.tap.whole(site, rows)?, self.maker);
        Ok(left.reshape([batch, tokens, heads, dim]).swap_dims(1, 2))
    }

    /// Passes the rows of `channels` channels that every expert receives through a tap.
    pub(crate) fn dispatch(
        &mut self,
        sent: Vec<Option<Tensor<B, 2>>>,
        routes: &[Routes],
        channels: usize,
    ) -> Result<Vec<Option<Tensor<B, 2>>>, OpsError> {
        let parts = self.parts(sent, routes, channels)?;
        let left = self.tap.dispatch(parts)?;
        Ok(left.iter().map(|part| self.rows(part)).collect())
    }

    /// Passes the experts' results, times their shares, through a tap and adds them up, `[tokens,
    /// channels]`.
    pub(crate) fn combine(
        &mut self,
        given: Vec<Option<Tensor<B, 2>>>,
        routes: &[Routes],
        [tokens, channels]: [usize; 2],
    ) -> Result<Tensor<B, 2>, OpsError> {
        let parts = self.parts(given, routes, channels)?;
        let sum = self.tap.combine(parts, [1, tokens, channels], self.maker.dtype)?;
        Ok(upload(&sum, self.maker).reshape([tokens, channels]))
    }

    fn parts(
        &self,
        rows: Vec<Option<Tensor<B, 2>>>,
        routes: &[Routes],
        channels: usize,
    ) -> Result<Vec<Part>, OpsError> {
        let dtype = self.maker.dtype;
        let mut parts = Vec::with_capacity(rows.len());
        for (rows, (tokens, _)) in rows.into_iter().zip(routes) {
            let states = match rows {
                Some(rows) => host(rows.unsqueeze(), dtype, self.name)?,
                None => Hidden::zeros(1, 0, channels, dtype),
            };
            let tokens = tokens.iter().map(|&token| token as usize).collect();
            parts.push(Part { states, tokens: Some(tokens) });
        }
        Ok(parts)
    }

    /// A part's rows in the model's dtype, if it has any.
    fn rows(&self, part: &Part) -> Option<Tensor<B, 2>> {
        let Hidden { batch, tokens, channels, .. } = part.states;
        let rows = || upload(&part.states, self.maker).reshape([batch * tokens, channels]);
        (batch * tokens > 0).then(|| rows().cast(self.maker.native()))
    }

    /// The output `[batch, tokens, hidden]` of a block's last projection of rows `x`, whose inputs are
    /// split among the ranks in whole units of `size`.
    pub(crate) fn by_ranks(
        &mut self,
        (site, ranks): (Site, usize),
        last: &Linear<B>,
        x: &Tensor<B, 2>,
        size: usize,
        [batch, tokens]: [usize; 2],
    ) -> Result<Tensor<B, 3>, OpsError> {
        let units = x.dims()[1] / size;
        check_degree(ranks, units)?;
        let mut sums = Vec::with_capacity(ranks);
        for rank in 0..ranks {
            let sum = rank_sum(last, x, size, [rank, ranks]);
            let shape = [batch, tokens, sum.dims()[1]];
            sums.push(host(sum.reshape(shape), Dtype::F32, self.name)?);
        }
        self.sum(site, sums)
    }

    /// Passes the ranks' sums through a tap and adds them up, in the model's dtype.
    pub(crate) fn sum(&mut self, site: Site, sums: Vec<Hidden>) -> Result<Tensor<B, 3>, OpsError> {
        let sum = self.tap.sums(site, sums)?;
        Ok(upload(&sum, self.maker).cast(self.maker.native()))
    }
}

/// The contribution of one of `ranks` ranks to a projection of rows `x`, in f32; rank 0 has the bias.
pub(crate) fn rank_sum<B: Kernels>(
    last: &Linear<B>,
    x: &Tensor<B, 2>,
    size: usize,
    [rank, ranks]: [usize; 2],
) -> Tensor<B, 2> {
    let units = x.dims()[1] / size;
    let (start, end) = (units * rank / ranks * size, units * (rank + 1) / ranks * size);
    let sum = last.apply_part(x.clone().narrow(1, start, end - start), start);
    match last.bias() {
        Some(bias) if rank == 0 => sum + bias.cast(FloatDType::F32).unsqueeze(),
        _ => sum,
    }
}

/// Rejects more ranks than there are units for them.
pub(crate) fn check_degree(ranks: usize, units: usize) -> Result<(), OpsError> {
    if ranks > units {
        let expected = format!("at most {units}, the heads or MLP channels of a block");
        return Err(OpsError::size("degree of tensor parallelism", expected, ranks));
    }
    Ok(())
}

/// Copies a tensor of type `dtype` to host memory; `name` is the device's name.
pub(crate) fn host<B: Kernels>(
    x: Tensor<B, 3>,
    dtype: Dtype,
    name: &str,
) -> Result<Hidden, OpsError> {
    let [batch, tokens, channels] = x.dims();
    let failed =
        |error| OpsError::Device { device: name.to_owned(), reason: reason(&format!("{error:?}")) };
    let data = x.try_into_data().map_err(failed)?;
    let mut hidden = Hidden::zeros(batch, tokens, channels, dtype);
    let bytes = data.as_bytes();
    if bytes.len() != hidden.data.len() {
        let (expected, found) = (hidden.data.len(), bytes.len());
        return Err(OpsError::size("hidden states read back, bytes", expected, found));
    }
    hidden.data.copy_from_slice(bytes);
    Ok(hidden)
}

/// Copies hidden states to the device, in their own type.
pub(crate) fn upload<B: Kernels>(hidden: &Hidden, maker: &Maker<B>) -> Tensor<B, 3> {
    let shape = [hidden.batch, hidden.tokens, hidden.channels];
    let dtype = float(hidden.dtype).into();
    let data = TensorData::from_bytes_vec(hidden.data.to_vec(), shape, dtype);
    Tensor::from_data(data, (&maker.device, dtype))
}
