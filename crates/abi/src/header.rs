//! The version header of a plugin file, read from the file before any of its code runs.

use abi_stable::StableAbi;

/// Version of the boundary that this crate describes: major.
///
/// Another major means that the two sides cannot talk at all.
pub const ABI_MAJOR: u32 = version_number(env!("CARGO_PKG_VERSION_MAJOR"));

/// Version of the boundary that this crate describes: minor.
///
/// A minor only adds fields at the end of the prefix types, so any two minors of one major work
/// together.
pub const ABI_MINOR: u32 = version_number(env!("CARGO_PKG_VERSION_MINOR"));

/// First bytes of every header.
pub const MAGIC: [u8; 8] = *b"STRAIT\x1a\n";

/// Start of the name of the exported header static; the crate's name follows, so that several
/// plugin crates can be linked into one test binary.
pub const HEADER_SYMBOL_PREFIX: &str = "STRAIT_PLUGIN_HEADER_";

/// Start of the name of the exported module static; the crate's name follows.
pub const MODULE_SYMBOL_PREFIX: &str = "STRAIT_PLUGIN_MODULE_";

/// [`PluginHeader::panic`] of a plugin that unwinds, so that its panics can be caught.
pub const PANIC_UNWIND: u32 = 1;

/// [`PluginHeader::panic`] of a plugin that aborts; it is refused.
pub const PANIC_ABORT: u32 = 2;

/// What a plugin file says about how it was built: plain integers without relocations, found by
/// symbol name. A later version may append fields; [`size`](PluginHeader::size) says how many
/// bytes there are.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct PluginHeader {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// Bytes of the whole header.
    pub size: u32,
    /// [`ABI_MAJOR`] of the plugin's SDK.
    pub abi_major: u32,
    /// [`ABI_MINOR`] of the plugin's SDK.
    pub abi_minor: u32,
    /// Version of the SDK: major, minor, patch.
    pub sdk: [u32; 3],
    /// [`PANIC_UNWIND`] or [`PANIC_ABORT`].
    pub panic: u32,
    /// Bits of a pointer.
    pub pointer_width: u32,
}

impl PluginHeader {
    /// Bytes of the header in ABI 1.0, which every later header starts with.
    pub const SIZE: usize = size_of::<PluginHeader>();

    /// The header of a plugin built now, by an SDK of this version.
    pub const fn new(sdk: [u32; 3], unwinds: bool) -> Self {
        PluginHeader {
            magic: MAGIC,
            #[allow(clippy::cast_possible_truncation)]
            size: Self::SIZE as u32,
            abi_major: ABI_MAJOR,
            abi_minor: ABI_MINOR,
            sdk,
            panic: if unwinds { PANIC_UNWIND } else { PANIC_ABORT },
            pointer_width: usize::BITS,
        }
    }

    /// Reads a header from the little-endian bytes of a file; `None` when they are too few or do
    /// not start with [`MAGIC`].
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::SIZE] = bytes.first_chunk()?;
        let (magic, words) = bytes.split_first_chunk::<8>()?;
        let mut words = words.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
        let mut next = || words.next();
        let header = PluginHeader {
            magic: *magic,
            size: next()?,
            abi_major: next()?,
            abi_minor: next()?,
            sdk: [next()?, next()?, next()?],
            panic: next()?,
            pointer_width: next()?,
        };
        (header.magic == MAGIC && header.size as usize >= Self::SIZE).then_some(header)
    }
}

/// Parses a decimal number at compile time; the version numbers of a Cargo package.
pub const fn version_number(digits: &str) -> u32 {
    let digits = digits.as_bytes();
    let mut number = 0;
    let mut i = 0;
    while i < digits.len() {
        number = number * 10 + (digits[i] - b'0') as u32;
        i += 1;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes as the compiler lays the static out, without reading them through a pointer.
    fn bytes_of(header: &PluginHeader) -> Vec<u8> {
        let mut bytes = header.magic.to_vec();
        let words = [header.size, header.abi_major, header.abi_minor]
            .into_iter()
            .chain(header.sdk)
            .chain([header.panic, header.pointer_width]);
        words.for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        bytes
    }

    #[test]
    fn the_layout_is_frozen() {
        assert_eq!(PluginHeader::SIZE, 40);
        assert_eq!(std::mem::offset_of!(PluginHeader, size), 8);
        assert_eq!(std::mem::offset_of!(PluginHeader, abi_major), 12);
        assert_eq!(std::mem::offset_of!(PluginHeader, sdk), 20);
        assert_eq!(std::mem::offset_of!(PluginHeader, panic), 32);
        assert_eq!(std::mem::offset_of!(PluginHeader, pointer_width), 36);
    }

    #[test]
    fn headers_are_read_back() {
        let header = PluginHeader::new([1, 2, 3], true);
        let mut bytes = bytes_of(&header);
        assert_eq!(PluginHeader::read(&bytes), Some(header));
        bytes.extend_from_slice(&[0; 8]);
        assert_eq!(PluginHeader::read(&bytes), Some(header), "a longer header of a later version");
        assert_eq!(PluginHeader::read(&bytes[..39]), None);
        bytes[0] = 0;
        assert_eq!(PluginHeader::read(&bytes), None);
    }

    #[test]
    fn version_numbers() {
        assert_eq!(version_number("0"), 0);
        assert_eq!(version_number("120"), 120);
    }
}
