//! The object of the checks: a press in this process, or one in a built file.

use std::marker::PhantomData;

use serde_json::{Map, Value};
use strait_loader::{
    KvHeadRef, LayerBudget, LayerRef, PressDescriptor, PressEntry, PressError, PressInstance,
    RopeLayout, RopeRef, SideNeed, SideRef, resolve,
};
use strait_sdk::press::abi::ROPE_HALVES;
use strait_sdk::press::{Kept, LayerData, Opened, Press, describe};

/// Result of a call into the press; the text is the press's or the loader's error.
pub(super) type Call<T> = Result<T, String>;

/// A press that can be opened.
pub(super) trait Subject: Send + Sync {
    fn facts(&self) -> PressDescriptor;
    fn check_params(&self, params: &Map<String, Value>) -> Call<()>;
    fn open(&self, params: &Map<String, Value>) -> Call<Box<dyn Instance>>;
}

/// An open press.
pub(super) trait Instance {
    fn needs(&self) -> Vec<SideNeed>;
    fn press(&mut self, layer: &LayerData) -> Call<Vec<Kept>>;
    fn reset(&mut self) -> Call<()>;
}

/// A press that is linked into this process.
pub(super) struct InProcess<P>(PhantomData<fn() -> P>);

impl<P> InProcess<P> {
    pub(super) fn new() -> Self {
        InProcess(PhantomData)
    }
}

impl<P: Press> Subject for InProcess<P> {
    fn facts(&self) -> PressDescriptor {
        describe::<P>("0.0.0")
    }

    fn check_params(&self, params: &Map<String, Value>) -> Call<()> {
        resolve(&self.facts().params, params).map(drop).map_err(|error| error.to_string())
    }

    fn open(&self, params: &Map<String, Value>) -> Call<Box<dyn Instance>> {
        let opened = Opened::<P>::new(&Value::Object(params.clone()));
        Ok(Box::new(opened.map_err(|error| error.to_string())?))
    }
}

impl<P: Press> Instance for Opened<P> {
    fn needs(&self) -> Vec<SideNeed> {
        self.needs()
    }

    fn press(&mut self, layer: &LayerData) -> Call<Vec<Kept>> {
        layer.with_request(|request| self.press(&request)).map_err(|error| error.to_string())
    }

    fn reset(&mut self) -> Call<()> {
        self.reset();
        Ok(())
    }
}

/// A press in a built file.
pub(super) struct InLibrary(pub(super) PressEntry);

impl Subject for InLibrary {
    fn facts(&self) -> PressDescriptor {
        self.0.descriptor().clone()
    }

    fn check_params(&self, params: &Map<String, Value>) -> Call<()> {
        self.0.resolve(params).map(drop).map_err(|error| error.to_string())
    }

    fn open(&self, params: &Map<String, Value>) -> Call<Box<dyn Instance>> {
        Ok(Box::new(self.0.open(params).map_err(text)?))
    }
}

impl Instance for PressInstance {
    fn needs(&self) -> Vec<SideNeed> {
        self.needs().to_vec()
    }

    fn press(&mut self, data: &LayerData) -> Call<Vec<Kept>> {
        let kv_heads = data.kv_heads.iter().map(|head| KvHeadRef {
            keys: head.keys.as_slice(),
            values: head.values.as_slice(),
            positions: head.positions.as_slice(),
        });
        let kv_heads: Vec<_> = kv_heads.collect();
        let side = data.side.iter().map(|array| SideRef {
            name: array.name.as_str(),
            tokens: array.tokens,
            values: array.values.as_slice(),
        });
        let side: Vec<_> = side.collect();
        let halves = data.rope_layout == ROPE_HALVES;
        let layer = LayerRef {
            layer: data.layer,
            layers: data.layers,
            heads: data.heads,
            head_dim: data.head_dim,
            value_dim: data.value_dim,
            tokens_seen: data.tokens_seen,
            budget: LayerBudget { target: data.target, ratio: data.ratio },
            seed: data.seed,
            attention_scale: data.attention_scale,
            softcap: data.softcap,
            sliding_window: data.sliding_window,
            rope: RopeRef {
                inverse_frequencies: &data.inverse_frequencies,
                attention_factor: data.attention_factor,
                layout: if halves { RopeLayout::Halves } else { RopeLayout::Pairs },
                keys_rotated: data.keys_rotated,
            },
            kv_heads: &kv_heads,
            side: &side,
        };
        let kept = PressInstance::press(self, &layer).map_err(text)?;
        let head = |head: strait_loader::KeptHead| Kept {
            entries: head.entries,
            keys: head.keys,
            values: head.values,
            key_channels: head.key_channels,
        };
        Ok(kept.into_iter().map(head).collect())
    }

    fn reset(&mut self) -> Call<()> {
        PressInstance::reset(self).map_err(text)
    }
}

/// The message of a press's error.
///
/// # Panics
/// When the press panicked or returned an invalid result, so that no check mistakes that for an
/// ordinary error.
fn text(error: PressError) -> String {
    match error {
        #[allow(clippy::panic)]
        PressError::Panicked { .. } | PressError::Result { .. } => panic!("{error}"),
        error => error.to_string(),
    }
}
