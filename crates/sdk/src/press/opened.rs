//! An open press with its common parameters.

use serde_json::Value;
use strait_abi::descriptor::PressDescriptor;
use strait_abi::press::{LayerRequest, OUTPUT_NORM, SideNeed};

use super::{Budget, Kept, Layer, Need, Press, Scores, Selection, selection};
use crate::Result;

/// An open press with its common parameters: what the host opens.
#[derive(Debug)]
pub struct Opened<P> {
    press: P,
    selection: Selection,
}

impl<P: Press> Opened<P> {
    /// Opens a press with a table of its own and the common parameters.
    ///
    /// # Errors
    /// A parameter that the table or the press refuses.
    pub fn new(params: &Value) -> Result<Self> {
        let (params, selection) = selection::read::<P::Params>(&P::INFO, params)?;
        Ok(Opened { press: P::open(params)?, selection })
    }

    /// What it wants to know, as it crosses the boundary.
    pub fn needs(&self) -> Vec<SideNeed> {
        self.selection.needs(self.press.needs()).into_iter().flat_map(Need::encode).collect()
    }

    /// What stays of a layer.
    ///
    /// # Errors
    /// Those of the press.
    pub fn press(&mut self, request: &LayerRequest<'_>) -> Result<Vec<Kept>> {
        let layer = Layer::new(request)?.with_sinks(self.selection.sinks());
        self.press.press(&layer, &self.selection)
    }

    /// The scores of a layer.
    ///
    /// # Errors
    /// Those of the press.
    pub fn score(&mut self, request: &LayerRequest<'_>) -> Result<Scores> {
        self.press.score(&Layer::new(request)?.with_sinks(self.selection.sinks()))
    }

    /// Forgets everything learnt from earlier layers.
    pub fn reset(&mut self) {
        self.press.reset();
    }
}

/// What a press says about itself, with the common parameters in its table.
pub fn describe<P: Press>(version: &str) -> PressDescriptor {
    let info = P::INFO;
    // The common parameter `budget` may ask for it.
    let common = (info.budget == Budget::Entries).then_some(OUTPUT_NORM);
    let side = info.side_information.iter().copied().chain(common);
    PressDescriptor {
        id: info.id.to_owned(),
        version: version.to_owned(),
        summary: info.summary.to_owned(),
        paper: info.paper.to_owned(),
        budget: info.budget.name().to_owned(),
        side_information: side.map(str::to_owned).collect(),
        params: selection::specs::<P::Params>(&info),
    }
}
