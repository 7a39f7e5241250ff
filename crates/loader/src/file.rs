//! What can be learned about a plugin file without running any of its code.

use object::{Architecture, BinaryFormat, Object, ObjectKind, ObjectSegment, ObjectSymbol};
use strait_abi::{
    ABI_MAJOR, HEADER_SYMBOL_PREFIX, LISTING_SYMBOL_PREFIX, Listing, MODULE_SYMBOL_PREFIX,
    PANIC_UNWIND, PluginHeader,
};

/// Version header and listing of a plugin file, read from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHeader {
    pub(crate) header: PluginHeader,
    /// Name of the symbol of the plugin's module.
    pub(crate) module_symbol: String,
    /// The listing of what the file provides; files of ABI 1.0 and 1.1 have none.
    pub(crate) listing: Option<Listing>,
}

/// Why a file is not a plugin that this host can load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file is not an ELF shared library.
    #[error("expected an ELF shared library, found {found}; point to a plugin's .so file")]
    NotALibrary {
        /// The kind of file it is.
        found: String,
    },
    /// The library is truncated or damaged.
    #[error(
        "expected a whole ELF file, found a truncated or damaged one ({reason}); copy it again"
    )]
    Damaged {
        /// What could not be read.
        reason: String,
    },
    /// The library is for another processor.
    #[error("expected a library for {expected}, found one for {found}; build it for this machine")]
    Machine {
        /// The host's architecture.
        expected: String,
        /// The file's architecture.
        found: String,
    },
    /// The library is not a plugin.
    #[error(
        "expected a strait plugin, found a library without a plugin header; build it with strait-sdk and `strait_sdk::export!`"
    )]
    NoHeader,
    /// More than one `export!` ended up in the file.
    #[error("expected one plugin header, found {}; do not link one plugin crate into another", .found.join(" and "))]
    SeveralHeaders {
        /// Names of the plugin crates.
        found: Vec<String>,
    },
    /// The header's symbol exists, but its content is missing.
    #[error(
        "expected a plugin header, found other bytes in its place; rebuild it with strait-sdk {ABI_MAJOR}"
    )]
    BadHeader,
    /// The plugin was built for another major version of the boundary.
    #[error(
        "expected ABI {ABI_MAJOR}, found ABI {major}.{minor} (strait-sdk {sdk}); rebuild it with strait-sdk {ABI_MAJOR}"
    )]
    AbiMajor {
        /// Major version in the header.
        major: u32,
        /// Minor version in the header.
        minor: u32,
        /// Version of the SDK in the header.
        sdk: String,
    },
    /// The plugin was built with `panic = "abort"`, so a panic would end the host.
    #[error(
        "expected panic strategy unwind, found abort; rebuild it without `panic = \"abort\"` in its profile"
    )]
    PanicStrategy,
    /// The plugin was built for another pointer width.
    #[error("expected {expected}-bit pointers, found {found}-bit; build it for this machine")]
    PointerWidth {
        /// The host's width in bits.
        expected: u32,
        /// The header's width in bits.
        found: u32,
    },
}

impl FileHeader {
    /// Reads and checks the header in the bytes of a plugin file. Never panics on any input.
    ///
    /// # Errors
    /// The first reason why this host cannot load the file.
    pub fn read(bytes: &[u8]) -> Result<Self, FileError> {
        let file = parse(bytes)?;
        let (crate_name, address) = header_symbol(&file)?;
        let content =
            bytes_at(&file, address, PluginHeader::SIZE as u64).ok_or(FileError::BadHeader)?;
        let header = PluginHeader::read(content).ok_or(FileError::BadHeader)?;
        check(&header)?;
        let module_symbol = format!("{MODULE_SYMBOL_PREFIX}{crate_name}");
        if !symbols(&file).any(|symbol| symbol.name == module_symbol) {
            return Err(FileError::BadHeader);
        }
        let listing_symbol = format!("{LISTING_SYMBOL_PREFIX}{crate_name}");
        let listing = match symbols(&file).find(|symbol| symbol.name == listing_symbol) {
            Some(symbol) => Some(read_listing(&file, &symbol).ok_or(FileError::BadHeader)?),
            None => None,
        };
        Ok(FileHeader { header, module_symbol, listing })
    }

    /// Major and minor version of the boundary that the plugin was built for.
    pub fn abi_version(&self) -> (u32, u32) {
        (self.header.abi_major, self.header.abi_minor)
    }

    /// Version of the SDK that the plugin was built with.
    pub fn sdk_version(&self) -> String {
        sdk_version(&self.header)
    }
}

fn check(header: &PluginHeader) -> Result<(), FileError> {
    // A newer minor version is fine: it only adds fields that this host does not read.
    if header.abi_major != ABI_MAJOR {
        return Err(FileError::AbiMajor {
            major: header.abi_major,
            minor: header.abi_minor,
            sdk: sdk_version(header),
        });
    }
    if header.pointer_width != usize::BITS {
        return Err(FileError::PointerWidth { expected: usize::BITS, found: header.pointer_width });
    }
    if header.panic != PANIC_UNWIND {
        return Err(FileError::PanicStrategy);
    }
    Ok(())
}

fn parse(bytes: &[u8]) -> Result<object::File<'_>, FileError> {
    if !bytes.starts_with(b"\x7fELF") {
        let found = match bytes {
            [] => "an empty file".to_owned(),
            [b'#', b'!' | b' ', ..] => "a text file".to_owned(),
            _ => "another kind of file".to_owned(),
        };
        return Err(FileError::NotALibrary { found });
    }
    let damaged = |error: object::Error| FileError::Damaged { reason: error.to_string() };
    let file = object::File::parse(bytes).map_err(damaged)?;
    let expected = architecture();
    if expected.is_some_and(|expected| expected != file.architecture()) || !file.is_little_endian()
    {
        return Err(FileError::Machine {
            expected: std::env::consts::ARCH.to_owned(),
            found: format!("{:?}", file.architecture()).to_lowercase(),
        });
    }
    if file.format() != BinaryFormat::Elf || file.kind() != ObjectKind::Dynamic {
        let found = match file.kind() {
            ObjectKind::Executable => "an ELF executable".to_owned(),
            ObjectKind::Relocatable => "an ELF object file".to_owned(),
            kind => format!("ELF kind {kind:?}"),
        };
        return Err(FileError::NotALibrary { found });
    }
    // The system's loader maps segments without checking that the file contains them.
    for segment in file.segments() {
        segment.data().map_err(damaged)?;
    }
    Ok(file)
}

/// The architecture that this host runs on, if `object` knows it.
fn architecture() -> Option<Architecture> {
    match std::env::consts::ARCH {
        "x86_64" => Some(Architecture::X86_64),
        "aarch64" => Some(Architecture::Aarch64),
        "riscv64" => Some(Architecture::Riscv64),
        _ => None,
    }
}

/// Crate name and address of the one header in the file.
fn header_symbol(file: &object::File<'_>) -> Result<(String, u64), FileError> {
    let mut headers: Vec<_> = symbols(file)
        .filter_map(|symbol| {
            Some((symbol.name.strip_prefix(HEADER_SYMBOL_PREFIX)?.to_owned(), symbol.address))
        })
        .collect();
    match (headers.pop(), headers.is_empty()) {
        (None, _) => Err(FileError::NoHeader),
        (Some(header), true) => Ok(header),
        (Some(header), false) => {
            headers.push(header);
            let mut found: Vec<_> = headers.into_iter().map(|(name, _)| name).collect();
            found.sort();
            Err(FileError::SeveralHeaders { found })
        }
    }
}

struct Symbol<'a> {
    name: &'a str,
    address: u64,
    size_bytes: u64,
}

fn symbols<'a>(file: &'a object::File<'a>) -> impl Iterator<Item = Symbol<'a>> {
    file.dynamic_symbols().filter(|symbol| symbol.is_definition()).filter_map(|symbol| {
        let name = symbol.name().ok()?;
        Some(Symbol { name, address: symbol.address(), size_bytes: symbol.size() })
    })
}

fn read_listing(file: &object::File<'_>, symbol: &Symbol<'_>) -> Option<Listing> {
    // A zero-sized static need not lie in a segment.
    if symbol.size_bytes == 0 {
        return Some(Listing::default());
    }
    Listing::read(bytes_at(file, symbol.address, symbol.size_bytes)?)
}

fn bytes_at<'a>(file: &object::File<'a>, address: u64, size_bytes: u64) -> Option<&'a [u8]> {
    file.segments().find_map(|segment| segment.data_range(address, size_bytes).ok().flatten())
}

fn sdk_version(header: &PluginHeader) -> String {
    let [major, minor, patch] = header.sdk;
    format!("{major}.{minor}.{patch}")
}
