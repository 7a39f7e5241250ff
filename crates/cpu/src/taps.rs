//! What taps are shown inside a block: copies rows of panels to host memory and back.

use strait_ops::{Hidden, LayerTap, OpsError, Part, Site};

use crate::CpuOps;
use crate::attention::Heads;
use crate::experts::Routed;
use crate::kernel::panel_tokens;
use crate::panels::{Panels, per_sequence};

impl CpuOps {
    /// Passes the keys and the values in `self.projected` through a tap.
    pub(crate) fn tap_keys_and_values(
        &mut self,
        x: &Panels,
        heads: Heads,
        tap: &mut LayerTap<'_>,
    ) -> Result<(), OpsError> {
        let nr = panel_tokens();
        let panel = heads.width() * nr;
        for (site, first, channels) in [
            (Site::Keys, heads.queries * heads.dim, heads.keys * heads.dim),
            (Site::Values, heads.values(), heads.keys * heads.value),
        ] {
            if !tap.wants(site) {
                continue;
            }
            let (first, size) = (first * nr, channels * nr);
            let mut own = Panels::zeros(x.batch, x.tokens, channels);
            let projected = self.projected.chunks_exact(panel);
            for (own, projected) in own.data.chunks_exact_mut(size).zip(projected) {
                own.copy_from_slice(&projected[first..first + size]);
            }
            let left = tap.whole(site, own.to_hidden(self.rules.dtype))?;
            let own = Panels::from_hidden(&left);
            let projected = self.projected.chunks_exact_mut(panel);
            for (own, projected) in own.data.chunks_exact(size).zip(projected) {
                projected[first..first + size].copy_from_slice(own);
            }
        }
        Ok(())
    }

    /// Passes the rows in `self.projected` that every expert receives through a tap; `None` if no tap
    /// wants them.
    pub(crate) fn tap_dispatch(
        &self,
        x: &Panels,
        routed: &Routed,
        tap: &mut LayerTap<'_>,
    ) -> Result<Option<Vec<Panels>>, OpsError> {
        if !tap.wants(Site::ExpertDispatch) {
            return Ok(None);
        }
        let mut parts = Vec::with_capacity(routed.experts);
        for places in &routed.groups[..routed.experts] {
            let mut states = Hidden::zeros(1, places.len(), x.channels, self.rules.dtype);
            for (row, &place) in places.iter().enumerate() {
                set_row(&mut states, row, &lane(&self.projected, x.channels, place));
            }
            parts.push(Part { states, tokens: Some(tokens_of(places, x.tokens)) });
        }
        let left = tap.dispatch(parts)?;
        Ok(Some(left.iter().map(|part| Panels::from_hidden(&part.states)).collect()))
    }

    /// Passes the experts' results in `self.context` through a tap and adds them up; `None` if no tap
    /// wants them.
    pub(crate) fn tap_combine(
        &self,
        x: &Panels,
        routed: &Routed,
        tap: &mut LayerTap<'_>,
    ) -> Result<Option<Panels>, OpsError> {
        if !tap.wants(Site::ExpertCombine) {
            return Ok(None);
        }
        let (nr, dtype, channels) = (panel_tokens(), self.rules.dtype, x.channels);
        let total: usize = routed.groups.iter().map(|group| group.len().next_multiple_of(nr)).sum();
        let mut shares = vec![0.0; total];
        for route in routed.routes.iter().filter(|route| route.share > 0.0) {
            shares[route.place] = route.share;
        }
        let mut parts = Vec::with_capacity(routed.experts);
        let mut first = 0;
        for group in &routed.groups[..routed.experts] {
            let mut states = Hidden::zeros(1, group.len(), channels, dtype);
            for row in 0..group.len() {
                let mut values = lane(&self.context, channels, first + row);
                values.iter_mut().for_each(|value| *value *= shares[first + row]);
                set_row(&mut states, row, &values);
            }
            parts.push(Part { states, tokens: Some(tokens_of(group, x.tokens)) });
            first += group.len().next_multiple_of(nr);
        }
        let sums = tap.combine(parts, [x.batch, x.tokens, channels], dtype)?;
        Ok(Some(Panels::from_hidden(&sums)))
    }
}

/// The token at `place`, panel times `panel_tokens` plus lane, of panels `[panels, channels,
/// panel_tokens]`.
fn lane(panels: &[f32], channels: usize, place: usize) -> Vec<f32> {
    let nr = panel_tokens();
    let panel = &panels[place / nr * channels * nr..][..channels * nr];
    panel.chunks_exact(nr).map(|lanes| lanes[place % nr]).collect()
}

/// Writes row `row` of the only sequence of `states`, rounded to its type.
fn set_row(states: &mut Hidden, row: usize, values: &[f32]) {
    let size = states.channels * states.dtype.size();
    states.dtype.encode(values, &mut states.data[row * size..][..size]);
}

/// Converts places in panels to token numbers, for concatenated sequences of `length` tokens.
fn tokens_of(places: &[usize], length: usize) -> Vec<usize> {
    let (nr, panels) = (panel_tokens(), per_sequence(length));
    let token = |&place: &usize| {
        let panel = place / nr;
        panel / panels * length + panel % panels * nr + place % nr
    };
    places.iter().map(token).collect()
}
