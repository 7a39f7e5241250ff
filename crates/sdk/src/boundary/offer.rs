//! Where inner codecs come from: the host, or, in a program that links codecs instead of loading
//! them, those that it offers itself.

use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

use strait_abi::abi_stable::prefix_type::PrefixTypeTrait;
use strait_abi::abi_stable::std_types::ROption;
use strait_abi::inner::InnerOpened;
use strait_abi::{CodecModuleRef, OpenRequest};

use super::codec::module;
use super::export::Exported;
use super::host::host;
use super::press::PressTable;
use super::table::CodecTable;
use crate::{Codec, Error, Result};

/// Codecs of this program by id.
static OFFERED: Mutex<Vec<(&'static str, CodecModuleRef)>> = Mutex::new(Vec::new());

/// Makes a codec of this program available as an inner codec, for tests and benchmarks, which have
/// no host. In a plugin, the host's codecs are used and nothing need be offered.
pub fn offer<C: Codec>() {
    let mut offered = offered();
    if !offered.iter().any(|(id, _)| *id == C::INFO.id) {
        offered.push((C::INFO.id, module::<One<C>>().leak_into_prefix()));
    }
}

/// Opens a codec of this program or of the host.
pub(super) fn open(id: &str, params: &str) -> Result<InnerOpened> {
    let local = offered().iter().find(|(offered, _)| *offered == id).map(|(_, module)| *module);
    if let Some(module) = local {
        let request = OpenRequest { codec: 0, params: params.into(), artifact: ROption::RNone };
        let opened = (module.open())(request);
        let module = ROption::RSome(module);
        return Ok(InnerOpened { outcome: opened.outcome, module, handle: opened.handle });
    }
    let Some(host) = host() else {
        return Err(Error::new(format!(
            "inner codec `{id}`: expected a host, or a codec given to `strait_sdk::offer`, found \
             neither"
        )));
    };
    match host.open_inner() {
        Some(open_inner) => Ok(open_inner(host.token(), id.into(), params.into())),
        None => Err(Error::new(format!(
            "inner codec `{id}`: expected a host of ABI 1.1 or later, found an older one; use a \
             newer strait"
        ))),
    }
}

fn offered() -> MutexGuard<'static, Vec<(&'static str, CodecModuleRef)>> {
    OFFERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A plugin of one codec.
struct One<C>(PhantomData<fn() -> C>);

impl<C: Codec> Exported for One<C> {
    const CODECS: &'static [CodecTable] = &[CodecTable::of::<C>()];
    const PRESSES: &'static [PressTable] = &[];
    const VERSION: &'static str = "";
}
