//! Presses that panic, fail, or return what does not fit the layer.

use strait_sdk::prelude::*;
use strait_sdk::press::{Budget, abi};

/// What to do wrong.
#[derive(Choice, Clone, Copy, PartialEq)]
enum Fault {
    /// Nothing.
    None,
    /// Panic when an instance is opened.
    PanicInOpen,
    /// Panic when it is asked what it needs.
    PanicInNeeds,
    /// Panic in a layer.
    PanicInPress,
    /// Panic at the start of a sequence.
    PanicInReset,
    /// Panic when the instance is dropped.
    PanicInDrop,
    /// Return an error for a layer.
    Error,
    /// One head too few.
    Heads,
    /// Entries in descending order.
    Order,
    /// An entry twice.
    Twice,
    /// An entry that is not there.
    Beyond,
    /// An index that no u32 holds.
    Huge,
    /// One value too few.
    Values,
    /// A key that is NaN.
    Nan,
    /// Key channels for the first head alone.
    SomeChannels,
    /// A key channel that is not there.
    Channel,
}

/// Parameters of the faulty press.
#[derive(Params, Clone, Copy)]
pub(crate) struct FaultParams {
    /// What to do wrong.
    #[param(default = "none")]
    fault: Fault,
}

/// Keeps every entry of a layer, in one wrong way.
pub(crate) struct Wrong(FaultParams);

impl Wrong {
    fn panics(&self, fault: Fault) {
        if self.0.fault == fault {
            panic!("hostile {}", fault.name());
        }
    }
}

impl Press for Wrong {
    const INFO: PressInfo = PressInfo {
        id: "hostile.press",
        summary: "presses in the wrong way that it is told",
        budget: Budget::Own,
        side_information: &[abi::QUERIES],
        ..PressInfo::DEFAULT
    };
    type Params = FaultParams;

    fn open(params: FaultParams) -> Result<Self> {
        let press = Wrong(params);
        press.panics(Fault::PanicInOpen);
        Ok(press)
    }

    fn needs(&self) -> Vec<Need> {
        self.panics(Fault::PanicInNeeds);
        vec![Need::Queries(3)]
    }

    fn press(&mut self, layer: &Layer<'_>, _: &Selection) -> Result<Vec<Kept>> {
        self.panics(Fault::PanicInPress);
        let keep = |head: &strait_sdk::press::Head<'_>| Kept::entries((0..head.len()).collect());
        let mut kept: Vec<Kept> = layer.heads().iter().map(keep).collect();
        let head = &layer.heads()[0];
        match self.0.fault {
            Fault::Error => return Err("hostile error".into()),
            Fault::Heads => drop(kept.pop()),
            Fault::Order => kept[0].entries.reverse(),
            Fault::Twice => kept[0].entries.push(head.len() - 1),
            Fault::Beyond => kept[0].entries.push(head.len()),
            Fault::Huge => kept[0].entries.push(usize::MAX),
            Fault::Values => kept[0].values = Some(head.all_values()[1..].to_vec()),
            Fault::Nan => kept[0].keys = Some(vec![f32::NAN; head.all_keys().len()]),
            Fault::SomeChannels => kept[0].key_channels = Some(vec![0]),
            Fault::Channel => kept.iter_mut().for_each(|h| h.key_channels = Some(vec![0, 7])),
            _ => {}
        }
        Ok(kept)
    }

    fn reset(&mut self) {
        self.panics(Fault::PanicInReset);
    }
}

impl Drop for Wrong {
    fn drop(&mut self) {
        self.panics(Fault::PanicInDrop);
    }
}

/// Keeps the entries with the longest values: a press that does nothing wrong.
pub(crate) struct Longest;

impl Press for Longest {
    const INFO: PressInfo = PressInfo {
        id: "hostile.longest",
        summary: "keeps the entries with the longest values",
        sinks: 1,
        ..PressInfo::DEFAULT
    };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(Longest)
    }

    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        let length = |value: &[f32]| value.iter().map(|x| x * x).sum::<f32>();
        Ok(layer.heads().iter().map(|head| head.values().map(length).collect()).collect())
    }
}
