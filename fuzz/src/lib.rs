//! What all targets share: the kinds of `strait-damage`, by name.

use strait_damage::Kind;

/// Reads any bytes as a file of this kind.
///
/// # Panics
/// When the reader panics or does not keep what it promises, which is what a target looks for; also when there is no such kind.
pub fn read(kind: &str, bytes: &[u8]) {
    let Some(kind) = Kind::named(kind) else { panic!("strait-damage has no kind {kind:?}") };
    kind.read(bytes);
}
