//! The start of an attention block: norm, projections, norms of heads, rotary positions.

use pulp::Simd;

use crate::attention::Attention;
use crate::finish::Projection;
use crate::kernel::Task;
use crate::panels::Scratch;
use crate::product::{ROWS, Rights};
use crate::rope::{RopePanels, rotate};
use crate::rules::Rules;

/// Writes the rotated queries and keys, and the values, of a run of panels to `out`, `[panels,
/// width, NR]`.
pub(crate) struct ProjectTask<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) out: &'a mut [f32],
    pub(crate) weights: &'a Attention,
    pub(crate) rope: Option<&'a RopePanels>,
    /// Whether keys are also rotated.
    pub(crate) rotate_keys: bool,
    pub(crate) scratch: &'a mut Scratch,
    /// Index of the run's first panel, and panels per sequence.
    pub(crate) first: usize,
    pub(crate) panels: usize,
    /// Panels of a sequence before this one need no queries.
    pub(crate) wanted: usize,
    pub(crate) rules: Rules,
}

impl Task for ProjectTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let ProjectTask {
            x,
            out,
            weights,
            rope,
            rotate_keys,
            scratch,
            first,
            panels,
            wanted,
            rules,
        } = self;
        let (heads, project) = (weights.heads, &weights.project);
        let (hidden, width) = (project.inputs, heads.width());
        let (x, out) = (x.as_chunks::<NR>().0, out.as_chunks_mut::<NR>().0);
        let count = x.len() / hidden;
        let ready = rules.unit.start();
        let mut normed = Rights::<NR>::new(rules.unit, count, hidden, &mut scratch.first);
        for (panel, x) in x.chunks_exact(hidden).enumerate() {
            match &weights.norm_in {
                Some(norm) => norm.write(simd, x, normed.staging(panel), rules),
                None => normed.staging(panel).copy_from_slice(x),
            }
            normed.commit(panel);
        }
        let queried = (0..count).any(|panel| (first + panel) % panels >= wanted);
        let first_projection =
            Projection { unit: &ready, weights: project, rights: &normed, rules };
        match &weights.latent {
            Some(latent) => {
                let memory = (&mut scratch.second, &mut scratch.result, &mut scratch.scores);
                latent.write(simd, &first_projection, (heads, queried), out, memory);
            }
            None => {
                let block = if queried { 0 } else { heads.queries * heads.dim / ROWS };
                first_projection.write_from(simd, block, out);
            }
        }
        let normed = heads.values();
        let rotated = if rotate_keys { normed } else { heads.queries * heads.dim };
        for (panel, out) in out.chunks_exact_mut(width).enumerate() {
            let out = &mut out[..normed];
            if let Some((query, key)) = &weights.head_norms {
                let (queries, keys) = out.split_at_mut(heads.queries * heads.dim);
                for queries in queries.chunks_exact_mut(query.channels()) {
                    query.replace(simd, queries, rules);
                }
                for keys in keys.chunks_exact_mut(key.channels()) {
                    key.replace(simd, keys, rules);
                }
            }
            let Some(rope) = rope else { continue };
            let start = (first + panel) % panels * rope.pairs;
            let cos = &rope.cos.as_chunks::<NR>().0[start..start + rope.pairs];
            let sin = &rope.sin.as_chunks::<NR>().0[start..start + rope.pairs];
            for head in out[..rotated].chunks_exact_mut(heads.dim) {
                rotate(head, cos, sin, rope.rounded_once, rules.dtype);
            }
        }
    }
}
