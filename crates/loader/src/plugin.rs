//! One plugin file: verified, loaded, described.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use strait_abi::descriptor::{CodecDescriptor, PluginDescriptor, PressDescriptor, is_valid_id};
use strait_abi::{Listing, PluginModuleRef};

use crate::peers::Peers;
use crate::{CodecEntry, FileHeader, HostServices, LoaderError, Side, library};

/// One loaded plugin file.
pub struct Plugin {
    path: PathBuf,
    file_name: String,
    sha256: String,
    header: FileHeader,
    host: HostServices,
    codecs: Vec<CodecDescriptor>,
    presses: Vec<PressDescriptor>,
    encoding: PluginModuleRef,
    decoding: Mutex<Decoding>,
}

/// The functions of the decoding side, or the verified bytes from which they will be loaded.
enum Decoding {
    Bytes(Vec<u8>),
    Loaded(PluginModuleRef),
}

/// A plugin file that was read and accepted, and none of whose code has run.
pub(crate) struct Verified {
    pub(crate) header: FileHeader,
    sha256: String,
    bytes: Vec<u8>,
}

/// Reads a plugin file and checks its header and its pin.
pub(crate) fn verify(path: &Path, pin: Option<&str>) -> Result<Verified, LoaderError> {
    let bytes = read(path)?;
    let sha256 = sha256_hex(&bytes);
    let header = FileHeader::read(&bytes)
        .map_err(|error| LoaderError::File { path: path.to_owned(), error })?;
    check_pin(path, pin, &sha256)?;
    Ok(Verified { header, sha256, bytes })
}

impl Plugin {
    /// Verifies and loads the plugin at `path`. Both sides run from private copies of the verified
    /// bytes, so overwriting the file later changes nothing.
    ///
    /// `pin` is `sha256:<hex>`; it is checked before any code of the plugin runs.
    ///
    /// # Errors
    /// The first check that fails, as one line that names the file.
    pub fn open(path: &Path, pin: Option<&str>, host: HostServices) -> Result<Self, LoaderError> {
        let Verified { header, sha256, bytes } = verify(path, pin)?;
        let encoding = load_private_copy(path, &bytes, &header, host)?;
        let descriptor = library::describe(path, encoding)?;
        check_descriptors(path, &descriptor)?;
        check_listing(path, header.listing.as_ref(), &descriptor)?;
        let PluginDescriptor { codecs, presses } = descriptor;
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        log::debug!("plugin {}: loaded, sha256:{sha256}", path.display());
        let decoding = Mutex::new(Decoding::Bytes(bytes));
        let path = path.to_owned();
        Ok(Plugin { path, file_name, sha256, header, host, codecs, presses, encoding, decoding })
    }

    /// The path of the file, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file name without its folder.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// SHA-256 of the file, 64 hex digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Major and minor version of the boundary that the plugin was built for.
    pub fn abi_version(&self) -> (u32, u32) {
        self.header.abi_version()
    }

    /// Version of the SDK that the plugin was built with.
    pub fn sdk_version(&self) -> String {
        self.header.sdk_version()
    }

    /// The codecs that the plugin provides.
    pub fn codecs(&self) -> &[CodecDescriptor] {
        &self.codecs
    }

    /// The presses that the plugin provides.
    pub fn presses(&self) -> &[PressDescriptor] {
        &self.presses
    }

    /// One of the plugin's codecs by id. It can contain only codecs of the same plugin; a
    /// [`PluginSet`](crate::PluginSet) also makes those of its other files available.
    pub fn codec(self: &Arc<Self>, id: &str) -> Option<CodecEntry> {
        CodecEntry::find(&Arc::new(Peers::alone(Arc::clone(self))), id).ok()
    }

    /// The plugin's functions for one side; the decoding side is loaded on first use.
    pub(crate) fn module(&self, side: Side) -> Result<PluginModuleRef, LoaderError> {
        if side == Side::Encoder {
            return Ok(self.encoding);
        }
        let mut decoding = self.decoding.lock().unwrap_or_else(PoisonError::into_inner);
        match &*decoding {
            Decoding::Loaded(module) => Ok(*module),
            Decoding::Bytes(bytes) => {
                let module = load_private_copy(&self.path, bytes, &self.header, self.host)?;
                *decoding = Decoding::Loaded(module);
                Ok(module)
            }
        }
    }
}

/// Loads a private copy of the file, so that it has its own static variables and no one can change
/// its bytes. The copy is removed at once; the mapping keeps what it needs.
fn load_private_copy(
    path: &Path,
    bytes: &[u8],
    header: &FileHeader,
    host: HostServices,
) -> Result<PluginModuleRef, LoaderError> {
    let folder = std::env::temp_dir();
    let failed =
        |source| LoaderError::PrivateCopy { path: path.to_owned(), folder: folder.clone(), source };
    // The copy's name contains the plugin's, for debuggers and profilers.
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut copy = tempfile::Builder::new()
        .prefix(&format!("strait-{stem}-"))
        .suffix(".so")
        .tempfile_in(&folder)
        .map_err(failed)?;
    copy.write_all(bytes).map_err(failed)?;
    match library::load(path, copy.path(), header, host) {
        // The system loader's message for a folder that is mounted noexec.
        Err(LoaderError::Load { reason, .. }) if reason.contains("failed to map segment") => {
            Err(failed(std::io::Error::other(reason)))
        }
        result => result,
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("path", &self.path)
            .field("sha256", &self.sha256)
            .field("codecs", &self.codecs.iter().map(|codec| &codec.id).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, LoaderError> {
    let failed = |source| LoaderError::Read { path: path.to_owned(), source };
    // Reading a pipe would block until somebody writes to it.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::other("something that is no regular file")));
    }
    std::fs::read(path).map_err(failed)
}

fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_pin(path: &Path, pin: Option<&str>, sha256: &str) -> Result<(), LoaderError> {
    let Some(pin) = pin else { return Ok(()) };
    let expected = pin.strip_prefix("sha256:").map(str::to_ascii_lowercase);
    let Some(expected) = expected
        .filter(|hex| hex.len() == sha256.len() && hex.bytes().all(|c| c.is_ascii_hexdigit()))
    else {
        return Err(LoaderError::PinForm { path: path.to_owned(), found: pin.to_owned() });
    };
    if expected == sha256 {
        return Ok(());
    }
    Err(LoaderError::Pin { path: path.to_owned(), expected, found: sha256.to_owned() })
}

fn check_descriptors(path: &Path, descriptor: &PluginDescriptor) -> Result<(), LoaderError> {
    let refuse = |expected: String, found: String| {
        Err(LoaderError::Descriptor { path: path.to_owned(), expected, found })
    };
    let PluginDescriptor { codecs, presses } = descriptor;
    if codecs.is_empty() && presses.is_empty() {
        return refuse("at least one codec or press".to_owned(), "none".to_owned());
    }
    let codecs: Vec<_> = codecs.iter().map(|codec| (&codec.id, &codec.params)).collect();
    let presses: Vec<_> = presses.iter().map(|press| (&press.id, &press.params)).collect();
    for (kind, items) in [("codec", codecs), ("press", presses)] {
        for (index, (id, params)) in items.iter().enumerate() {
            if !is_valid_id(id) {
                let expected = format!("{kind} ids of a-z, 0-9, `.` and `-`");
                return refuse(expected, format!("`{id}`"));
            }
            if items[..index].iter().any(|(other, _)| other == id) {
                return refuse(format!("every {kind} id once"), format!("`{id}` twice"));
            }
            for spec in *params {
                if let Some(Err(error)) = spec.default.as_ref().map(|value| spec.check(value)) {
                    return refuse("valid defaults".to_owned(), format!("{kind} `{id}`, {error}"));
                }
            }
        }
    }
    Ok(())
}

/// Requires that the file's listing equals its code's description, because the listing decides which
/// file is loaded for an id.
fn check_listing(
    path: &Path,
    listing: Option<&Listing>,
    descriptor: &PluginDescriptor,
) -> Result<(), LoaderError> {
    let Some(listing) = listing else { return Ok(()) };
    let described = Listing {
        codecs: descriptor.codecs.iter().map(|codec| codec.id.clone()).collect(),
        presses: descriptor.presses.iter().map(|press| press.id.clone()).collect(),
    };
    if described == *listing {
        return Ok(());
    }
    let text = |listing: &Listing| [&listing.codecs[..], &listing.presses].concat().join(", ");
    Err(LoaderError::Descriptor {
        path: path.to_owned(),
        expected: format!("what the file lists, {}", text(listing)),
        found: text(&described),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut Vec<CodecDescriptor>)) -> String {
        let text = r#"{ "codecs": [{
            "id": "a", "kind": "codec", "version": "1.0.0", "summary": "",
            "params": [{ "name": "bits", "kind": "integer", "default": 4, "max": 8 }]
        }] }"#;
        let mut descriptor: PluginDescriptor = serde_json::from_str(text).unwrap();
        check_descriptors(Path::new("x.so"), &descriptor).unwrap();
        change(&mut descriptor.codecs);
        check_descriptors(Path::new("x.so"), &descriptor).unwrap_err().to_string()
    }

    #[test]
    fn bad_descriptions_are_refused() {
        assert_eq!(
            refusal(|codecs| codecs.clear()),
            "plugin x.so: expected at least one codec or press, found none; tell its author"
        );
        assert_eq!(
            refusal(|codecs| codecs[0].id = "A B".to_owned()),
            "plugin x.so: expected codec ids of a-z, 0-9, `.` and `-`, found `A B`; tell its author"
        );
        assert_eq!(
            refusal(|codecs| codecs.extend_from_within(..)),
            "plugin x.so: expected every codec id once, found `a` twice; tell its author"
        );
        assert_eq!(
            refusal(|codecs| codecs[0].params[0].default = Some(9.into())),
            "plugin x.so: expected valid defaults, found codec `a`, parameter `bits`: \
             expected an integer of at most 8, found 9; tell its author"
        );
    }

    #[test]
    fn a_description_that_is_not_what_the_file_lists_is_refused() {
        let text = r#"{"codecs":[{"id":"a","kind":"codec","version":"1","summary":"s"}]}"#;
        let descriptor: PluginDescriptor = serde_json::from_str(text).unwrap();
        let check = |listing: &[u8]| {
            check_listing(Path::new("x.so"), Listing::read(listing).as_ref(), &descriptor)
        };
        check(b"codec a\n").unwrap();
        check_listing(Path::new("x.so"), None, &descriptor).unwrap();
        assert_eq!(
            check(b"codec a\npress b\n").unwrap_err().to_string(),
            "plugin x.so: expected what the file lists, a, b, found a; tell its author"
        );
    }
}
