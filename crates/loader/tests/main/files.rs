//! Files that must be refused, each with one line, and most before any of their code runs.

use std::path::Path;

use strait_loader::{Dtype, FileHeader, MatrixMut, MatrixRef, Plugin, Side};

use crate::build::{HOST, changed, file, hostile, hostile_abort};

/// The one line of the refusal, with the path replaced by `X`.
fn refusal(path: &Path) -> String {
    refusal_with_pin(path, None)
}

fn refusal_with_pin(path: &Path, pin: Option<&str>) -> String {
    let error = Plugin::open(path, pin, HOST).unwrap_err().to_string();
    assert!(!error.contains('\n'), "more than one line: {error}");
    error.replace(&path.display().to_string(), "X")
}

/// Offset of the version header in the bytes of a plugin file.
fn header(bytes: &[u8]) -> usize {
    let magic = b"STRAIT\x1a\n";
    bytes.windows(magic.len()).position(|window| window == magic).unwrap()
}

/// A plugin whose header has `value` in the word at `offset`.
fn patched(offset: usize, value: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    changed("patched.so", |bytes| {
        let word = header(bytes) + offset;
        bytes[word..word + 4].copy_from_slice(&value.to_le_bytes());
    })
}

#[test]
fn missing_file() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        refusal(&folder.path().join("none.so")),
        "plugin X: expected a readable file or folder, found No such file or directory (os error 2); \
         check the path and its permissions"
    );
}

#[test]
fn garbage_files() {
    let cases: [(&[u8], &str); 3] = [
        (b"", "an empty file"),
        (b"#!/bin/sh\necho hello\n", "a text file"),
        (&[0xa5; 5000], "another kind of file"),
    ];
    for (bytes, found) in cases {
        let (_folder, path) = file("garbage.so", bytes);
        assert_eq!(
            refusal(&path),
            format!(
                "plugin X: expected an ELF shared library, found {found}; point to a plugin's .so file"
            )
        );
    }
}

#[test]
fn executables_are_not_libraries() {
    // A position-independent executable has the ELF type of a library; it has no header.
    let path = std::env::current_exe().unwrap();
    assert_eq!(
        refusal(&path),
        "plugin X: expected a strait plugin, found a library without a plugin header; \
         build it with strait-sdk and `strait_sdk::export!`"
    );
}

#[test]
fn foreign_library() {
    let libc = foreign();
    assert_eq!(
        refusal(&libc),
        "plugin X: expected a strait plugin, found a library without a plugin header; \
         build it with strait-sdk and `strait_sdk::export!`"
    );
}

/// A shared library of the system that every dynamically linked process has mapped.
fn foreign() -> std::path::PathBuf {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .find(|path| path.contains("/libc"))
        .unwrap();
    path.into()
}

#[test]
fn truncated_at_any_length() {
    let whole = std::fs::read(hostile()).unwrap();
    for length in [16, 63, 64, 100, whole.len() / 2, whole.len() - 1] {
        let (_folder, path) = file("truncated.so", &whole[..length]);
        let line = refusal(&path);
        assert!(
            line.starts_with(
                "plugin X: expected a whole ELF file, found a truncated or damaged one ("
            ) && line.ends_with("); copy it again"),
            "{length}: {line}"
        );
    }
}

#[test]
fn wrong_machine() {
    let (_folder, path) = changed("machine.so", |bytes| {
        // e_machine: 62 is x86-64, 183 is AArch64.
        let other = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
        bytes[18] = other;
    });
    let arch = std::env::consts::ARCH;
    let other = if cfg!(target_arch = "aarch64") { "x86_64" } else { "aarch64" };
    assert_eq!(
        refusal(&path),
        format!(
            "plugin X: expected a library for {arch}, found one for {other}; build it for this machine"
        )
    );
}

#[test]
fn wrong_abi_major() {
    let (_folder, path) = patched(12, 99);
    assert_eq!(
        refusal(&path),
        "plugin X: expected ABI 1, found ABI 99.3 (strait-sdk 1.3.0); rebuild it with strait-sdk 1"
    );
}

#[test]
fn newer_abi_minor_is_fine() {
    let (_folder, path) = patched(16, 7);
    assert_eq!(Plugin::open(&path, None, HOST).unwrap().abi_version(), (1, 7));
}

#[test]
fn wrong_pointer_width() {
    let (_folder, path) = patched(36, 32);
    assert_eq!(
        refusal(&path),
        "plugin X: expected 64-bit pointers, found 32-bit; build it for this machine"
    );
}

#[test]
fn damaged_header() {
    let (_folder, path) = patched(0, 0);
    assert_eq!(
        refusal(&path),
        "plugin X: expected a plugin header, found other bytes in its place; \
         rebuild it with strait-sdk 1"
    );
}

#[test]
fn two_plugins_in_one_file() {
    let (_folder, path) = changed("two.so", |bytes| {
        let name = b"STRAIT_PLUGIN_MODULE_strait_hostile\0";
        let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
        bytes[at..at + 21].copy_from_slice(b"STRAIT_PLUGIN_HEADER_");
    });
    assert_eq!(
        refusal(&path),
        "plugin X: expected one plugin header, found strait_hostile and strait_hostile; \
         do not link one plugin crate into another"
    );
}

#[test]
fn built_with_abort() {
    assert_eq!(
        refusal(hostile_abort()),
        "plugin X: expected panic strategy unwind, found abort; \
         rebuild it without `panic = \"abort\"` in its profile"
    );
}

#[test]
fn pins_are_checked_before_loading() {
    let plugin = crate::build::plugin();
    let good = format!("sha256:{}", plugin.sha256());
    assert!(Plugin::open(hostile(), Some(&good), HOST).is_ok());
    assert!(
        Plugin::open(hostile(), Some(&good.to_uppercase().replace("SHA256", "sha256")), HOST)
            .is_ok()
    );
    let zeros = "0".repeat(64);
    assert_eq!(
        refusal_with_pin(hostile(), Some(&format!("sha256:{zeros}"))),
        format!(
            "plugin X: expected sha256:{zeros} (the pin), found sha256:{}; \
             restore that file or update the pin",
            plugin.sha256()
        )
    );
    assert_eq!(
        refusal_with_pin(hostile(), Some("md5:12")),
        "plugin X: expected a pin of the form sha256:<64 hex digits>, found `md5:12`; \
         run sha256sum on the file"
    );
}

#[test]
fn another_layout_behind_a_good_header() {
    // The module's symbol now leads to other bytes: abi_stable's own check notices.
    let (_folder, path) = changed("layout.so", |bytes| {
        let magic = b"abi stable library for Rust     ";
        let at = bytes.windows(magic.len()).position(|window| window == magic).unwrap();
        bytes[at] ^= 1;
    });
    assert_eq!(
        refusal(&path),
        "plugin X: expected the layout of ABI 1, found another one (its abi_stable version differs); \
         rebuild it with strait-sdk 1 (details in the debug log)"
    );
}

#[test]
fn a_library_that_does_not_link() {
    // The name of a library that it needs no longer exists.
    let (_folder, path) = changed("link.so", |bytes| {
        let name = b"libc.so.6\0";
        let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
        bytes[at..at + 4].copy_from_slice(b"nope");
    });
    let line = refusal(&path);
    assert!(
        line.starts_with("plugin X: expected a library that the system can load, found: ")
            && line.contains("nope.so.6")
            && line.ends_with("; rebuild it on this machine"),
        "{line}"
    );
}

#[test]
fn a_file_that_is_overwritten_in_place_while_it_is_used_changes_nothing() {
    let (_folder, path) = changed("changing.so", |_| {});
    let plugin = std::sync::Arc::new(Plugin::open(&path, None, HOST).unwrap());
    let codec = plugin.codec("hostile.panic").unwrap();
    let params = serde_json::Map::new();
    let mut encoder = codec.open(Side::Encoder, &params, None).unwrap();
    // The same inode, first with other bytes, then with fewer: a mapping of the file itself would
    // crash at the next call.
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::write(&path, vec![0xcc; usize::try_from(length).unwrap()]).unwrap();
    std::fs::write(&path, b"short").unwrap();
    let mut decoder = codec.open(Side::Decoder, &params, None).unwrap();
    let bytes = [1, 2, 3, 4];
    let message = MatrixRef { rows: 1, channels: 1, dtype: Dtype::F32, bytes: &bytes, side: &[] };
    let (mut payload, mut decoded) = (Vec::new(), [0; 4]);
    encoder.encode(message, &mut payload).unwrap();
    let target = MatrixMut { rows: 1, channels: 1, dtype: Dtype::F32, bytes: &mut decoded };
    decoder.decode(&payload, target).unwrap();
    assert_eq!(decoded, bytes);
}

#[test]
fn a_pipe_is_refused_without_waiting_for_a_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe.so");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert_eq!(
        refusal(&path),
        "plugin X: expected a readable file or folder, found something that is no regular file; \
         check the path and its permissions"
    );
}

#[test]
fn no_damage_makes_the_header_reader_panic() {
    let whole = std::fs::read(hostile()).unwrap();
    // The ELF header, the program headers, and the section headers at the end.
    let places = (0..1024).chain(whole.len() - 2048..whole.len());
    let mut refused = 0;
    let mut bytes = whole.clone();
    for place in places {
        for value in [0x00, 0x7f, 0xff] {
            bytes[place] = value;
            refused += usize::from(FileHeader::read(&bytes).is_err());
        }
        bytes[place] = whole[place];
    }
    assert!(refused > 100, "{refused}");
}
