//! One plugin file: verified, loaded, described.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use strait_abi::PluginModuleRef;
use strait_abi::descriptor::{CodecDescriptor, PluginDescriptor, PressDescriptor, is_valid_id};

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
    decoding: Mutex<Option<PluginModuleRef>>,
}

impl Plugin {
    /// Verifies and loads the plugin at `path`.
    ///
    /// `pin` is `sha256:<hex>`; it is checked before any code of the plugin runs.
    ///
    /// # Errors
    /// The first check that fails, as one line that names the file.
    pub fn open(path: &Path, pin: Option<&str>, host: HostServices) -> Result<Self, LoaderError> {
        let bytes = read(path)?;
        let sha256 = sha256_hex(&bytes);
        let header = FileHeader::read(&bytes)
            .map_err(|error| LoaderError::File { path: path.to_owned(), error })?;
        drop(bytes);
        check_pin(path, pin, &sha256)?;
        // The system's loader searches its own folders for a name without a slash.
        let file = std::path::absolute(path)
            .map_err(|source| LoaderError::Read { path: path.to_owned(), source })?;
        let encoding = library::load(path, &file, &header, host)?;
        let descriptor = library::describe(path, encoding)?;
        check_descriptors(path, &descriptor)?;
        let PluginDescriptor { codecs, presses } = descriptor;
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        log::debug!("plugin {}: loaded, sha256:{sha256}", path.display());
        let decoding = Mutex::new(None);
        let path = path.to_owned();
        Ok(Plugin { path, file_name, sha256, header, host, codecs, presses, encoding, decoding })
    }

    /// Where the file is, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Name of the file without its folder.
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

    /// The codecs that the plugin offers.
    pub fn codecs(&self) -> &[CodecDescriptor] {
        &self.codecs
    }

    /// The presses that the plugin offers.
    pub fn presses(&self) -> &[PressDescriptor] {
        &self.presses
    }

    /// One of the plugin's codecs by id. Inside it, only codecs of the same plugin can be used; a
    /// [`PluginSet`](crate::PluginSet) has those of its other files too.
    pub fn codec(self: &Arc<Self>, id: &str) -> Option<CodecEntry> {
        CodecEntry::find(&Arc::new(Peers::alone(Arc::clone(self))), id).ok()
    }

    /// The plugin's functions for one side; the decoding side is loaded on first use.
    pub(crate) fn module(&self, side: Side) -> Result<PluginModuleRef, LoaderError> {
        if side == Side::Encoder {
            return Ok(self.encoding);
        }
        let mut decoding = self.decoding.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(module) = *decoding {
            return Ok(module);
        }
        let module = self.load_private_copy()?;
        *decoding = Some(module);
        Ok(module)
    }

    /// Loads another copy of the file, so that it gets its own static variables. The copy is
    /// removed at once; the mapping keeps what it needs.
    fn load_private_copy(&self) -> Result<PluginModuleRef, LoaderError> {
        let bytes = read(&self.path)?;
        if sha256_hex(&bytes) != self.sha256 {
            return Err(LoaderError::Changed { path: self.path.clone() });
        }
        let folder = std::env::temp_dir();
        let failed = |source| LoaderError::PrivateCopy {
            path: self.path.clone(),
            folder: folder.clone(),
            source,
        };
        let mut copy = tempfile::Builder::new()
            .prefix("strait-")
            .suffix(".so")
            .tempfile_in(&folder)
            .map_err(failed)?;
        copy.write_all(&bytes).map_err(failed)?;
        match library::load(&self.path, copy.path(), &self.header, self.host) {
            // The file itself did load, so the reason is the folder: it may be mounted noexec.
            Err(LoaderError::Load { reason, .. }) => Err(failed(std::io::Error::other(reason))),
            result => result,
        }
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
    std::fs::read(path).map_err(|source| LoaderError::Read { path: path.to_owned(), source })
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
}
