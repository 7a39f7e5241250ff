//! Any bytes as what comes from plugins: a library file, or the payload of a codec.

use std::path::PathBuf;
use std::sync::OnceLock;

use strait_conformance::Decoders;
use strait_loader::FileHeader;

use crate::{assert_message, repository};

/// A plugin file: header and listing are read without running any of its code.
pub(crate) fn header(bytes: &[u8], _: Option<&[u8]>) {
    match FileHeader::read(bytes) {
        Ok(header) => drop((header.abi_version(), header.sdk_version())),
        Err(error) => assert_message(&error),
    }
}

/// A payload: one byte gives the length of a codec's id, which comes next, then one byte for the shape of the message, then
/// what its decoder gets. The decoder fails, or fills the whole message.
pub(crate) fn payload(bytes: &[u8], _: Option<&[u8]>) {
    let Some((&length, rest)) = bytes.split_first() else { return };
    let Some((id, rest)) = rest.split_at_checked(length.into()) else { return };
    let (Ok(id), Some((&shape, payload))) = (std::str::from_utf8(id), rest.split_first()) else {
        return;
    };
    if let Ok(decoders) = decoders() {
        let kept = decoders.decode(id, shape.into(), payload);
        assert!(kept.is_ok(), "{id}: {kept:?}");
    }
}

/// A payload of every codec and shape, as `payload` reads them, under a name.
///
/// # Errors
/// When no plugin is built, or a codec fails.
pub fn payload_seeds() -> Result<Vec<(String, Vec<u8>)>, String> {
    let decoders = decoders().as_ref().map_err(Clone::clone)?;
    if decoders.codecs().next().is_none() {
        return Err("expected built plugins in plugins/, found none".to_owned());
    }
    let mut seeds = Vec::new();
    for id in decoders.codecs() {
        for shape in 0..decoders.shapes() {
            let payload = decoders.example(id, shape).map_err(|error| format!("{id}: {error}"))?;
            let head = [&[id.len() as u8], id.as_bytes(), &[shape as u8]].concat();
            seeds.push((format!("{id}-{shape}"), [head, payload].concat()));
        }
    }
    Ok(seeds)
}

/// The decoders of the built plugins, in `plugins/` or where `STRAIT_PLUGINS` says.
fn decoders() -> &'static Result<Decoders, String> {
    static OPENED: OnceLock<Result<Decoders, String>> = OnceLock::new();
    OPENED.get_or_init(|| {
        let named = std::env::var_os("STRAIT_PLUGINS").map(PathBuf::from);
        let folder = named.unwrap_or_else(|| repository().join("plugins"));
        Decoders::of_folder(&folder).map_err(|error| error.to_string())
    })
}
