//! An open press.

// The instance owns a handle into the plugin, which may move between threads.
#![allow(unsafe_code)]

use strait_abi::press::{
    KvHeadView, LayerRequest, PressNeeds, Pressed, RopeView, SideArray, SideNeed,
};
use strait_abi::{InstanceHandle, Outcome, Placement, Text};

use super::check::{check_layer, check_result};
use super::{KeptHead, LayerRef, PressEntry, PressError};
use crate::calls::CallKind;

/// The functions of one plugin's presses.
pub(super) struct Calls {
    pub(super) needs: extern "C" fn(InstanceHandle) -> Text,
    pub(super) press: extern "C" fn(InstanceHandle, LayerRequest<'_>) -> Pressed,
    pub(super) reset: extern "C" fn(InstanceHandle) -> Outcome,
    pub(super) place: Option<extern "C" fn(InstanceHandle, Placement) -> Outcome>,
    pub(super) close: extern "C" fn(InstanceHandle) -> Outcome,
}

/// One open press.
pub struct PressInstance {
    entry: PressEntry,
    calls: Calls,
    handle: InstanceHandle,
    needs: Vec<SideNeed>,
    poisoned: bool,
}

// SAFETY: the SDK only opens presses that are Send, and every call takes `&mut self`, so one thread
// at a time uses the handle.
unsafe impl Send for PressInstance {}

impl PressInstance {
    pub(super) fn new(
        entry: PressEntry,
        calls: Calls,
        handle: InstanceHandle,
    ) -> Result<Self, PressError> {
        let mut instance =
            PressInstance { entry, calls, handle, needs: Vec::new(), poisoned: false };
        let needs = || (instance.calls.needs)(handle);
        let described = instance.entry.call(CallKind::Needs, needs)?;
        instance.finished("needs", described.outcome)?;
        let needs: PressNeeds =
            serde_json::from_str(described.text.as_str()).map_err(|error| PressError::Failed {
                id: instance.id().to_owned(),
                call: "needs",
                message: error.to_string(),
            })?;
        instance.needs = needs.side;
        Ok(instance)
    }

    /// The press's id.
    pub fn id(&self) -> &str {
        self.entry.id()
    }

    /// The side information that this instance needs, with its parameters.
    pub fn needs(&self) -> &[SideNeed] {
        &self.needs
    }

    /// Calls the press on a layer and returns one [`KeptHead`] for each kv head, checked against
    /// the layer.
    ///
    /// # Errors
    /// The press's error or panic, or a layer or result with inconsistent sizes.
    pub fn press(&mut self, layer: &LayerRef<'_>) -> Result<Vec<KeptHead>, PressError> {
        self.check("press")?;
        check_layer(self.entry.id(), layer)?;
        let heads: Vec<KvHeadView<'_>> = layer
            .kv_heads
            .iter()
            .map(|head| KvHeadView {
                keys: head.keys.into(),
                values: head.values.into(),
                positions: head.positions.into(),
            })
            .collect();
        let side: Vec<SideArray<'_>> = layer
            .side
            .iter()
            .map(|array| SideArray {
                name: array.name.into(),
                tokens: array.tokens,
                values: array.values.into(),
            })
            .collect();
        let request = LayerRequest {
            layer: layer.layer,
            layers: layer.layers,
            heads: layer.heads,
            head_dim: layer.head_dim,
            value_dim: layer.value_dim,
            tokens_seen: layer.tokens_seen,
            target: layer.budget.target,
            ratio: layer.budget.ratio,
            seed: layer.seed,
            attention_scale: layer.attention_scale,
            softcap: layer.softcap,
            sliding_window: layer.sliding_window,
            rope: RopeView {
                inverse_frequencies: layer.rope.inverse_frequencies.into(),
                attention_factor: layer.rope.attention_factor,
                layout: layer.rope.layout.tag(),
                keys_rotated: layer.rope.keys_rotated,
            },
            kv_heads: heads.as_slice().into(),
            side: side.as_slice().into(),
        };
        let press = || (self.calls.press)(self.handle, request);
        let Pressed { outcome, kv_heads } = self.entry.call(CallKind::Press, press)?;
        self.finished("press", outcome)?;
        check_result(self.entry.id(), layer, &kv_heads)
    }

    /// Makes the press forget earlier calls; called at the start of every sequence.
    ///
    /// # Errors
    /// The press's panic.
    pub fn reset(&mut self) -> Result<(), PressError> {
        self.check("reset")?;
        let reset = || (self.calls.reset)(self.handle);
        let outcome = self.entry.call(CallKind::Reset, reset)?;
        self.finished("reset", outcome)
    }

    /// Asks the press to take layers that lie elsewhere from now on. An instance starts in host memory,
    /// which is all that [`press`](PressInstance::press) passes.
    ///
    /// # Errors
    /// A plugin older than ABI 1.3; the press's refusal, after which it is placed as it was.
    pub fn place(&mut self, placement: Placement) -> Result<(), PressError> {
        self.check("place")?;
        let Some(place) = self.calls.place else {
            return Err(PressError::HostMemoryAlone { id: self.id().to_owned() });
        };
        let handle = self.handle;
        let outcome = self.entry.call(CallKind::Place, || place(handle, placement))?;
        self.finished("place", outcome)
    }

    /// Drops the press and reports whether that succeeded; merely dropping the instance logs a
    /// failure.
    ///
    /// # Errors
    /// The press's panic.
    pub fn close(mut self) -> Result<(), PressError> {
        self.release()
    }

    fn release(&mut self) -> Result<(), PressError> {
        let handle = std::mem::replace(&mut self.handle, InstanceHandle(std::ptr::null_mut()));
        if handle.0.is_null() {
            return Ok(());
        }
        let close = || (self.calls.close)(handle);
        let outcome = self.entry.call(CallKind::Drop, close)?;
        self.finished("drop", outcome)
    }

    fn check(&self, call: &'static str) -> Result<(), PressError> {
        if self.poisoned {
            Err(PressError::Poisoned { id: self.id().to_owned(), call })
        } else {
            Ok(())
        }
    }

    fn finished(&mut self, call: &'static str, outcome: Outcome) -> Result<(), PressError> {
        let result = PressError::from_end(self.entry.id(), call, outcome.end());
        self.poisoned |= matches!(result, Err(PressError::Panicked { .. }));
        result
    }
}

impl std::fmt::Debug for PressInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PressInstance")
            .field("press", &self.id())
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

impl Drop for PressInstance {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            log::warn!("{error}");
        }
    }
}
