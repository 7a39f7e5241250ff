//! The functions of plugin kind `press` that the host calls.

// Handles are raw pointers to instances that only this file makes, borrows and frees.
#![allow(unsafe_code)]

use strait_abi::abi_stable::std_types::{ROption, RString, RVec};
use strait_abi::descriptor::PressDescriptor;
use strait_abi::press::{LayerRequest, PressNeeds, Pressed, PressedHead, SideNeed};
use strait_abi::{InstanceHandle, OpenRequest, Opened, Outcome, Placement, PressModule, Text};

use super::export::Exported;
use super::guard::guard;
use crate::press::{self, Kept, Press};
use crate::serde_json::{self, Value};
use crate::{Error, Result};

/// The functions of one exported press.
pub struct PressTable {
    pub(super) describe: fn(version: &str) -> PressDescriptor,
    open: fn(params: &Value) -> Result<Box<dyn AnyPress>>,
}

impl PressTable {
    /// The table of `P`.
    pub const fn of<P: Press>() -> Self {
        PressTable {
            describe: press::describe::<P>,
            open: |params| Ok(Box::new(press::Opened::<P>::new(params)?)),
        }
    }
}

/// The functions of the presses that `E` exports; none for none.
pub(super) fn module<E: Exported>() -> Option<PressModule> {
    let module = PressModule { open: open::<E>, close, needs, press: press_layer, reset, place };
    (!E::PRESSES.is_empty()).then_some(module)
}

/// An open press of any type.
trait AnyPress: Send {
    fn needs(&self) -> Vec<SideNeed>;
    fn press(&mut self, request: &LayerRequest<'_>) -> Result<Vec<Kept>>;
    fn reset(&mut self);
}

impl<P: Press> AnyPress for press::Opened<P> {
    fn needs(&self) -> Vec<SideNeed> {
        self.needs()
    }

    fn press(&mut self, request: &LayerRequest<'_>) -> Result<Vec<Kept>> {
        self.press(request)
    }

    fn reset(&mut self) {
        self.reset();
    }
}

struct Instance {
    press: Box<dyn AnyPress>,
    /// After a panic the press may be half changed.
    poisoned: bool,
}

extern "C" fn open<E: Exported>(request: OpenRequest<'_>) -> Opened {
    let (outcome, instance) = guard(|| {
        let params = serde_json::from_str(request.params.as_str()).map_err(|error| {
            Error::new(format!("parameters: expected one JSON table, found {error}"))
        })?;
        let count = E::PRESSES.len();
        let table = E::PRESSES.get(request.codec).ok_or_else(|| {
            Error::new(format!("press index: expected less than {count}, found {}", request.codec))
        })?;
        Ok(Box::new(Instance { press: (table.open)(&params)?, poisoned: false }))
    });
    let handle = instance.map_or(std::ptr::null_mut(), |instance| Box::into_raw(instance).cast());
    Opened { outcome, handle: InstanceHandle(handle) }
}

extern "C" fn needs(handle: InstanceHandle) -> Text {
    let (outcome, text) = with_instance(handle, |instance| {
        let side = instance.press.needs();
        serde_json::to_string(&PressNeeds { side }).map_err(|error| Error::new(error.to_string()))
    });
    Text { outcome, text: RString::from(text.unwrap_or_default()) }
}

extern "C" fn press_layer(handle: InstanceHandle, request: LayerRequest<'_>) -> Pressed {
    let (outcome, heads) = with_instance(handle, |instance| {
        instance.press.press(&request)?.into_iter().map(encode).collect::<Result<Vec<_>>>()
    });
    Pressed { outcome, kv_heads: RVec::from(heads.unwrap_or_default()) }
}

extern "C" fn reset(handle: InstanceHandle) -> Outcome {
    let end = with_instance(handle, |instance| {
        instance.press.reset();
        Ok(())
    });
    end.0
}

/// Every press of this SDK takes host memory alone.
extern "C" fn place(handle: InstanceHandle, placement: Placement) -> Outcome {
    with_instance(handle, |_| Ok(placement.check_host()?)).0
}

extern "C" fn close(handle: InstanceHandle) -> Outcome {
    let end = guard(|| {
        if !handle.0.is_null() {
            // SAFETY: a handle that is not null was made by `open` from a Box<Instance>, and the
            // host closes it once, as the last call.
            drop(unsafe { Box::from_raw(handle.0.cast::<Instance>()) });
        }
        Ok(())
    });
    end.0
}

fn encode(kept: Kept) -> Result<PressedHead> {
    let indices = |list: Vec<usize>| -> Result<RVec<u32>> {
        let index = |i| u32::try_from(i).map_err(|_| Error::new(format!("index {i}: beyond u32")));
        list.into_iter().map(index).collect()
    };
    let numbers = |values: Option<Vec<f32>>| ROption::from(values.map(RVec::from));
    Ok(PressedHead {
        kept: indices(kept.entries)?,
        keys: numbers(kept.keys),
        values: numbers(kept.values),
        key_channels: ROption::from(kept.key_channels.map(indices).transpose()?),
    })
}

/// Runs `f` on the instance; a panic poisons it.
fn with_instance<T>(
    handle: InstanceHandle,
    f: impl FnOnce(&mut Instance) -> Result<T>,
) -> (Outcome, Option<T>) {
    // SAFETY: a handle that is not null was made by `open` from a Box<Instance> that lives until
    // `close`; the host calls for one instance from one thread at a time.
    let Some(instance) = (unsafe { handle.0.cast::<Instance>().as_mut() }) else {
        return (Outcome::error("the instance is not open"), None);
    };
    if instance.poisoned {
        return (Outcome::error("the instance cannot be used after a panic"), None);
    }
    // Cleared again below unless the author's code panics.
    instance.poisoned = true;
    guard(|| {
        let result = f(&mut *instance);
        instance.poisoned = false;
        result
    })
}
