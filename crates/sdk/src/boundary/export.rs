//! `export!`: the statics that make a library a plugin.

// Only the root module's own type may stand behind its erased reference; that is done once, here.
#![allow(unsafe_code)]

use strait_abi::abi_stable::library::{CheckTypeLayout, LibHeader, RootModuleResult};
use strait_abi::abi_stable::prefix_type::{PrefixRefTrait, PrefixTypeTrait};
use strait_abi::abi_stable::std_types::{ROption, RResult, RString};
use strait_abi::descriptor::PluginDescriptor;
use strait_abi::{PluginHeader, PluginModule, PluginModuleRef, Text, version_number};

use super::guard::guard;
use super::press::PressTable;
use super::table::CodecTable;
use super::{codec, host, press};
use crate::Error;
use crate::serde_json;

/// Makes this library a plugin that offers the given codecs.
///
/// ```text
/// strait_sdk::export!(CodecA, CodecB);
/// strait_sdk::export!(presses: PressA, PressB);
/// strait_sdk::export!(CodecA; presses: PressA);
/// ```
///
/// Call it once in a crate of type `["cdylib", "rlib"]`. The exported names end in the crate's name,
/// so plugin crates can also be linked into one test binary.
#[macro_export]
macro_rules! export {
    (presses: $($press:ty),+ $(,)?) => { $crate::export!(@ [] [$($press),+]); };
    (@ [$($codec:ty),*] [$($press:ty),*]) => {
        #[allow(unsafe_code)]
        const _: () = {
            struct Exported;

            impl $crate::__private::Exported for Exported {
                const CODECS: &'static [$crate::__private::CodecTable] =
                    &[$($crate::__private::CodecTable::of::<$codec>()),*];
                const PRESSES: &'static [$crate::__private::PressTable] =
                    &[$($crate::__private::PressTable::of::<$press>()),*];
                const VERSION: &'static str = ::std::env!("CARGO_PKG_VERSION");
            }

            const CODEC_IDS: &[&str] = &[$(<$codec as $crate::Codec>::INFO.id),*];
            const PRESS_IDS: &[&str] = &[$(<$press as $crate::press::Press>::INFO.id),*];

            #[unsafe(export_name = ::std::concat!(
                "STRAIT_PLUGIN_HEADER_",
                ::std::env!("CARGO_CRATE_NAME")
            ))]
            static HEADER: $crate::__private::PluginHeader =
                $crate::__private::header(::std::cfg!(panic = "unwind"));

            #[unsafe(export_name = ::std::concat!(
                "STRAIT_PLUGIN_MODULE_",
                ::std::env!("CARGO_CRATE_NAME")
            ))]
            static MODULE: $crate::__private::LibHeader =
                $crate::__private::module::<Exported>();

            #[unsafe(export_name = ::std::concat!(
                "STRAIT_PLUGIN_LISTING_",
                ::std::env!("CARGO_CRATE_NAME")
            ))]
            static LISTING: [u8; $crate::__private::listing_length(CODEC_IDS, PRESS_IDS)] =
                $crate::__private::listing(CODEC_IDS, PRESS_IDS);
        };
    };
    ($($codec:ty),+; presses: $($press:ty),+ $(,)?) => {
        $crate::export!(@ [$($codec),+] [$($press),+]);
    };
    ($($codec:ty),+ $(,)?) => { $crate::export!(@ [$($codec),+] []); };
}

/// What one `export!` exports.
pub trait Exported: 'static {
    /// The codecs, in the order of their index.
    const CODECS: &'static [CodecTable];
    /// The presses, in the order of their index.
    const PRESSES: &'static [PressTable] = &[];
    /// Version of the plugin's package.
    const VERSION: &'static str;
}

/// The header of a plugin that is compiled with this SDK.
pub const fn header(unwinds: bool) -> PluginHeader {
    const SDK: [u32; 3] = [
        version_number(env!("CARGO_PKG_VERSION_MAJOR")),
        version_number(env!("CARGO_PKG_VERSION_MINOR")),
        version_number(env!("CARGO_PKG_VERSION_PATCH")),
    ];
    PluginHeader::new(SDK, unwinds)
}

/// The module static of a plugin.
pub const fn module<E: Exported>() -> LibHeader {
    // SAFETY: `construct` returns the erased reference of a PluginModuleRef and nothing else.
    unsafe { LibHeader::from_constructor::<PluginModuleRef>(construct::<E>, CheckTypeLayout::Yes) }
}

extern "C" fn construct<E: Exported>() -> RootModuleResult {
    let module = PluginModule {
        start: host::start,
        describe: describe::<E>,
        codec: codec::module::<E>().leak_into_prefix(),
        press: ROption::from(press::module::<E>().map(PrefixTypeTrait::leak_into_prefix)),
    };
    // SAFETY: the host checks the layout of PluginModuleRef before it uses the reference as one.
    RResult::ROk(unsafe { module.leak_into_prefix().to_prefix_ref().cast() })
}

extern "C" fn describe<E: Exported>() -> Text {
    let (outcome, text) = guard(|| {
        let presses = E::PRESSES.iter().map(|press| (press.describe)(E::VERSION)).collect();
        let codecs = E::CODECS.iter().map(|codec| (codec.describe)(E::VERSION)).collect();
        serde_json::to_string(&PluginDescriptor { codecs, presses })
            .map_err(|error| Error::new(error.to_string()))
    });
    Text { outcome, text: RString::from(text.unwrap_or_default()) }
}
