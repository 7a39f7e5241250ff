//! Loads a plugin file whose header was accepted, checks its layout and starts it.

// Loading a library runs its code; this file is where the host decides to do so.
#![allow(unsafe_code)]

use std::path::Path;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use strait_abi::abi_stable::StableAbi;
use strait_abi::abi_stable::abi_stability::abi_checking::{
    CheckingGlobals, check_layout_compatibility_with_globals as check,
};
use strait_abi::abi_stable::library::{AbiHeaderRef, LibHeader, LibraryError};
use strait_abi::descriptor::PluginDescriptor;
use strait_abi::{ABI_MAJOR, ABI_MINOR, CallEnd, Outcome, PluginModuleRef};

use crate::calls::{CallKind, Callee, call};
use crate::error::one_line;
use crate::host::HostServices;
use crate::{FileHeader, LoaderError};

/// Loads `file`, a private copy of the plugin at `path`. It stays loaded until the process ends,
/// because its code may have left threads, hooks and statics behind.
pub(crate) fn load(
    path: &Path,
    file: &Path,
    header: &FileHeader,
    host: HostServices,
) -> Result<PluginModuleRef, LoaderError> {
    let failed = |error: libloading::Error| LoaderError::Load {
        path: path.to_owned(),
        reason: one_line(&reason(&error)),
    };
    let callee = callee(path);
    // SAFETY: the user asked for this plugin; its header says that it was built with the SDK.
    let open = || unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) };
    let (library, changed) = call(callee, CallKind::Load, open);
    let library = library.map_err(failed)?;
    if changed {
        // The start-up code that C compilers add to libraries built for fast arithmetic does this.
        log::warn!(
            "plugin {}: its constructors changed how the thread rounds, which is put back; build its C \
             code without -ffast-math",
            path.display()
        );
    }
    // SAFETY: the symbol is in the file (the header reader looked) and is the LibHeader static that
    // `export!` made, to which an AbiHeaderRef is a reference; the library is leaked below.
    let abi = unsafe { library.get::<AbiHeaderRef>(header.module_symbol.as_bytes()) };
    let abi = abi.map(|symbol| *symbol).map_err(failed);
    std::mem::forget(library);
    let plugin = abi?.upgrade().map_err(|error| layout_error(path, &error))?;
    check_layout(path, plugin, header)?;
    // SAFETY: the layouts were compared above.
    let init = || unsafe { plugin.init_root_module_with_unchecked_layout::<PluginModuleRef>() };
    let (module, _) = call(callee, CallKind::Load, init);
    let module = module.map_err(|error| layout_error(path, &error))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let services = host.publish(&stem);
    let (started, _) = call(callee, CallKind::Start, || (module.start())(services));
    finished(path, "start", started)?;
    Ok(module)
}

/// Calls a loaded plugin for its description.
pub(crate) fn describe(
    path: &Path,
    module: PluginModuleRef,
) -> Result<PluginDescriptor, LoaderError> {
    let (described, _) = call(callee(path), CallKind::Describe, || (module.describe())());
    finished(path, "describe", described.outcome)?;
    serde_json::from_str(described.text.as_str()).map_err(|error| LoaderError::Descriptor {
        path: path.to_owned(),
        expected: "a description of codecs as JSON".to_owned(),
        found: error.to_string(),
    })
}

fn callee(path: &Path) -> &'static Callee {
    Callee::of(&path.file_name().unwrap_or_default().to_string_lossy(), "", None)
}

fn finished(path: &Path, call: &str, outcome: Outcome) -> Result<(), LoaderError> {
    let reason = match outcome.end() {
        CallEnd::Ok => return Ok(()),
        CallEnd::Error(message) => format!("an error in {call}: {}", one_line(&message)),
        CallEnd::Panic(message) => format!("a panic in {call}: {}", one_line(&message)),
    };
    Err(LoaderError::Start { path: path.to_owned(), reason })
}

/// Compares the types of both sides. The older side's fields must be the first fields of the newer
/// side's.
///
/// abi_stable's own `init_root_module` is unsuitable for two reasons. It expects the smaller layout
/// as its first argument but always passes the host's there, which rejects every plugin of an older
/// minor version. And it compares each plugin with all those loaded before, which rejects mixed minor
/// versions although plugins share no values with each other.
fn check_layout(
    path: &Path,
    plugin: &'static LibHeader,
    header: &FileHeader,
) -> Result<(), LoaderError> {
    let ours = PluginModuleRef::LAYOUT;
    let older = header.abi_version() < (ABI_MAJOR, ABI_MINOR);
    let result = match plugin.layout() {
        Some(theirs) if older => check(theirs, ours, &CheckingGlobals::new()),
        Some(theirs) => check(ours, theirs, &CheckingGlobals::new()),
        None => {
            let reason = "it does not describe its types".to_owned();
            return Err(LoaderError::Layout { path: path.to_owned(), reason });
        }
    };
    result.map_err(|report| {
        log::debug!("plugin {}: {report}", path.display());
        LoaderError::Layout { path: path.to_owned(), reason: "its types differ".to_owned() }
    })
}

fn layout_error(path: &Path, error: &LibraryError) -> LoaderError {
    log::debug!("plugin {}: {error}", path.display());
    let reason = match error {
        LibraryError::InvalidAbiHeader(_) => "its abi_stable version differs",
        LibraryError::InvalidCAbi { .. } => "its C calling convention differs",
        LibraryError::IncompatibleVersionNumber { .. } => "its version number differs",
        _ => "its module does not open",
    };
    LoaderError::Layout { path: path.to_owned(), reason: reason.to_owned() }
}

/// The system loader's own message, which libloading keeps in the error's source.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
