//! Queries, keys and values by way of normed vectors of few channels: multi-head latent attention.

use pulp::Simd;
use strait_ops::LatentTensors;

use crate::attention::Heads;
use crate::blocks::Blocks;
use crate::finish::Projection;
use crate::norm::Norm;
use crate::panels::{Floats, grow};
use crate::product::{PanelMemory, Rights, Started};
use crate::rules::Rules;

/// What follows the block's first projection, whose rows are the queries or their latent, then the latent of
/// keys and values, then the key channels that all heads share.
pub(crate) struct Latent {
    /// From the queries' latent to the queries, if they have one.
    query: Option<Up>,
    /// From the latent to the keys' own channels of all heads, then the values of all heads.
    key_value: Up,
    /// Number of key channels that all heads share, the first ones of a head.
    shared: usize,
}

/// `project(norm(x))`.
pub(crate) struct Up {
    pub(crate) norm: Norm,
    pub(crate) project: Blocks,
}

/// Memory for a norm's result, for the first projection's, and for a later one's.
pub(crate) type Memory<'a> = (&'a mut PanelMemory, &'a mut Floats, &'a mut Floats);

impl Latent {
    /// The block's first projection, and what follows it.
    pub(crate) fn new(tensors: LatentTensors, rules: Rules) -> (Blocks, Latent) {
        let LatentTensors { query_down, query, down, norm, key, value } = tensors;
        let stacked = |parts| Blocks::stacked(parts, rules.unit, rules.dtype);
        let shared = down.outputs - norm.weight.len();
        let (first, query) = match query_down {
            None => (query, None),
            Some((first, norm)) => {
                let project = Blocks::new(query, rules.unit, rules.dtype);
                (first, Some(Up { norm: Norm::new(norm, rules), project }))
            }
        };
        let key_value = Up { norm: Norm::new(norm, rules), project: stacked(vec![key, value]) };
        (stacked(vec![first, down]), Latent { query, key_value, shared })
    }

    /// Number of rows of the first projection that belong to the queries.
    fn first(&self, heads: Heads) -> usize {
        self.query.as_ref().map_or(heads.queries * heads.dim, |up| up.project.inputs)
    }

    /// Writes queries, keys and values of some panels to `out`, `[panels, width, NR]`, from the block's first
    /// projection; without `queried`, there may be no queries.
    #[inline(always)]
    pub(crate) fn write<S: Simd, const NR: usize>(
        &self,
        simd: S,
        first: &Projection<'_, NR>,
        (heads, queried): (Heads, bool),
        out: &mut [[f32; NR]],
        (normed, narrow, wide): Memory<'_>,
    ) {
        let Projection { unit, weights, rules, .. } = *first;
        let (size, width) = (weights.outputs, heads.width());
        let panels = out.len() / width;
        let narrow = grow(narrow, panels * size * NR).as_chunks_mut::<NR>().0;
        first.write(simd, narrow);
        let queries = self.first(heads);
        match &self.query {
            None => {
                for (out, narrow) in out.chunks_exact_mut(width).zip(narrow.chunks_exact(size)) {
                    out[..queries].copy_from_slice(&narrow[..queries]);
                }
            }
            Some(up) if queried => {
                let of = (&*narrow, size, 0);
                let wide = up.write(simd, unit, of, (&mut *normed, &mut *wide), rules);
                for (out, wide) in
                    out.chunks_exact_mut(width).zip(wide.chunks_exact(up.project.outputs))
                {
                    out[..wide.len()].copy_from_slice(wide);
                }
            }
            Some(_) => {}
        }
        let up = &self.key_value;
        let wide = up.write(simd, unit, (&*narrow, size, queries), (normed, wide), rules);
        let wide = wide.chunks_exact(up.project.outputs);
        for ((out, narrow), wide) in
            out.chunks_exact_mut(width).zip(narrow.chunks_exact(size)).zip(wide)
        {
            self.spread(&narrow[size - self.shared..], wide, heads, out);
        }
    }

    /// Writes keys and values to their places in a row `out` of queries, keys and values.
    #[inline(always)]
    pub(crate) fn spread<T: Copy>(&self, shared: &[T], wide: &[T], heads: Heads, out: &mut [T]) {
        let own = heads.dim - self.shared;
        let (keys, values) = wide.split_at(heads.keys * own);
        let of_keys = out[heads.queries * heads.dim..].chunks_exact_mut(heads.dim);
        for (key, own) in of_keys.zip(keys.chunks_exact(own.max(1))) {
            key[..self.shared].copy_from_slice(shared);
            key[self.shared..].copy_from_slice(own);
        }
        out[heads.values()..].copy_from_slice(values);
    }

    /// The counterpart of [`Latent::write`] for one token: `narrow` is the first projection, `up` applies an
    /// [`Up`] to a vector.
    pub(crate) fn row(
        &self,
        narrow: &[f32],
        heads: Heads,
        up: impl Fn(&Up, &[f32]) -> Vec<f32>,
    ) -> Vec<f32> {
        let (queries, rest) = narrow.split_at(self.first(heads));
        let (latent, shared) = rest.split_at(rest.len() - self.shared);
        let mut out = match &self.query {
            None => queries.to_vec(),
            Some(query) => up(query, queries),
        };
        out.resize(heads.width(), 0.0);
        self.spread(shared, &up(&self.key_value, latent), heads, &mut out);
        out
    }
}

impl Up {
    /// `project(norm(x))` of the channels from `first` on of panels `[size, NR]`.
    #[inline(always)]
    fn write<'m, S: Simd, const NR: usize>(
        &self,
        simd: S,
        unit: &Started,
        (panels, size, first): (&[[f32; NR]], usize, usize),
        (normed, out): (&mut PanelMemory, &'m mut Floats),
        rules: Rules,
    ) -> &'m [[f32; NR]] {
        let (count, channels) = (panels.len() / size, self.norm.channels());
        let mut rights = Rights::<NR>::new(rules.unit, count, channels, normed);
        for (panel, x) in panels.chunks_exact(size).enumerate() {
            self.norm.write(simd, &x[first..first + channels], rights.staging(panel), rules);
            rights.commit(panel);
        }
        let out = grow(out, count * self.project.outputs * NR).as_chunks_mut::<NR>().0;
        Projection { unit, weights: &self.project, rights: &rights, rules }.write(simd, out);
        out
    }
}
