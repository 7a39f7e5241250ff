//! Plugins built in another workspace, outside the repository, against the same SDK, older minors, a
//! newer one and another major; and a newer host that opens a plugin of today.
//!
//! The other workspaces are copies of the three SDK crates with the version changed; the newer minor
//! also gets a field at the end of two prefix types, and older ones lose what was added after them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Map;
use strait_loader::{CallError, Dtype, MatrixMut, MatrixRef, Placement, Plugin, PluginSet, Side};

use crate::build::{HOST, cargo, hostile, repository, target_tmp};

/// One workspace is built at a time: they share a target folder.
static BUILDING: Mutex<()> = Mutex::new(());

const PLUGIN: &str = r#"//! A plugin of another team.
use strait_sdk::prelude::*;

#[derive(Params)]
struct ShiftParams {
    /// Added to every byte of the message.
    #[param(default = 1)]
    by: u8,
}

struct Shift(u8);

impl Codec for Shift {
    const INFO: CodecInfo = CodecInfo { id: "shift.VARIANT", summary: "adds", ..CodecInfo::DEFAULT };
    type Params = ShiftParams;

    fn open(params: ShiftParams) -> Result<Self> {
        Ok(Shift(params.by))
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        payload.extend(message.bytes().iter().map(|byte| byte.wrapping_add(self.0)));
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        Error::check_payload_length(message.shape().bytes(), payload.len())?;
        for (byte, stored) in message.bytes_mut().iter_mut().zip(payload) {
            *byte = stored.wrapping_sub(self.0);
        }
        Ok(())
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::Exact(shape.bytes())
    }
}

strait_sdk::export!(Shift);
"#;

/// What ABI 1.3 added to the functions of codecs and of presses.
const PLACE_CODEC: &str = r#"    /// `[exclusive]` Says where the matrices of the following calls lie. Since ABI 1.3.
    pub place: extern "C" fn(InstanceHandle, Placement) -> Outcome,
"#;
const PLACE_PRESS: &str = r#"    /// `[exclusive]` Says where the arrays of the following layers lie. Since ABI 1.3.
    pub place: extern "C" fn(InstanceHandle, Placement) -> Outcome,
"#;

/// What ABI 1.2 added: the ids in the file.
const LISTING: &str = r#"
            #[unsafe(export_name = ::std::concat!(
                "STRAIT_PLUGIN_LISTING_",
                ::std::env!("CARGO_CRATE_NAME")
            ))]
            static LISTING: [u8; $crate::__private::listing_length(CODEC_IDS, PRESS_IDS)] =
                $crate::__private::listing(CODEC_IDS, PRESS_IDS);
"#;

/// What ABI 1.1 added: presses, and the host's service that opens inner codecs.
const PRESS_FIELDS: &str = r#"    /// `[exclusive]` The [`PressNeeds`](crate::press::PressNeeds) as JSON. Since ABI 1.1.
    pub needs: extern "C" fn(InstanceHandle) -> Text,
    /// `[exclusive]` Chooses what stays of one layer. Since ABI 1.1.
    pub press: extern "C" fn(InstanceHandle, LayerRequest<'_>) -> Pressed,
    /// `[exclusive]` Forgets everything learnt from earlier calls. Since ABI 1.1.
    pub reset: extern "C" fn(InstanceHandle) -> Outcome,
"#;
const OPEN_INNER: &str = r#"    /// `[within open]` Opens another codec for the side that is being opened: token, id, parameters
    /// as one JSON object. Since ABI 1.1.
    pub open_inner: extern "C" fn(u64, RStr<'_>, RStr<'_>) -> InnerOpened,
"#;
const NO_OPEN_INNER: &str = r#"None::<
        extern "C" fn(
            u64,
            strait_abi::abi_stable::std_types::RStr<'_>,
            strait_abi::abi_stable::std_types::RStr<'_>,
        ) -> InnerOpened,
    >"#;

const NEWER_HOST: &str = r#"//! A host of a newer minor: opens every file it is given.
use strait_loader::*;

fn main() {
    println!("host {ABI_MAJOR}.{ABI_MINOR}");
    for path in std::env::args().skip(1) {
        let plugin = Plugin::open(path.as_ref(), None, HostServices { threads: 1 }).unwrap();
        let plugin = std::sync::Arc::new(plugin);
        let id = &plugin.codecs()[0].id;
        let mut encoder =
            plugin.codec(id).unwrap().open(Side::Encoder, &Default::default(), None).unwrap();
        let bytes = [1, 2, 3, 4];
        let message = MatrixRef { rows: 1, channels: 2, dtype: Dtype::F16, bytes: &bytes, side: &[] };
        let mut payload = Vec::new();
        encoder.encode(message, &mut payload).unwrap();
        println!("{id} {:?} {payload:?}", plugin.abi_version());
    }
}
"#;

#[test]
fn a_plugin_built_elsewhere_against_the_same_sdk_works_when_it_is_dropped_in() {
    let built = shift();
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(built, folder.path().join("libshift.so")).unwrap();
    let set = PluginSet::scan(folder.path(), &Default::default(), HOST).unwrap();
    assert!(set.failures().is_empty(), "{:?}", set.failures());
    let plugin = set.load_all().remove(0).1.unwrap();
    round_trip(&plugin, "shift.same");
}

#[test]
fn a_plugin_of_a_newer_minor_loads_on_this_host_and_an_older_one_on_a_newer_host() {
    let mut workspace = Workspace::new("newer", "1.4.0");
    workspace.add_fields();
    let plugin = Arc::new(Plugin::open(&workspace.build_plugin(), None, HOST).unwrap());
    assert_eq!(plugin.abi_version(), (1, 4));
    assert_eq!(plugin.sdk_version(), "1.4.0");
    round_trip(&plugin, "shift.newer");

    let host = workspace.build_host();
    let output =
        Command::new(host).arg(hostile()).arg(plugin.path()).arg(hostile()).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "host 1.4\n\
         hostile.panic (1, 3) [1, 2, 3, 4]\n\
         shift.newer (1, 4) [2, 3, 4, 5]\n\
         hostile.panic (1, 3) [1, 2, 3, 4]\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_plugin_of_an_older_minor_loads_and_runs_and_takes_host_memory_alone() {
    let older = [("older0", "1.0.0"), ("older1", "1.1.0"), ("older2", "1.2.0")];
    for (minor, (variant, version)) in (0..).zip(older) {
        let mut workspace = Workspace::new(variant, version);
        workspace.make_older(minor);
        let plugin = Arc::new(Plugin::open(&workspace.build_plugin(), None, HOST).unwrap());
        assert_eq!(plugin.abi_version(), (1, minor));
        let id = format!("shift.{variant}");
        round_trip(&plugin, &id);
        let mut codec = plugin.codec(&id).unwrap().open(Side::Encoder, &Map::new(), None).unwrap();
        let alone = CallError::HostMemoryAlone { codec: id };
        assert_eq!(codec.place(Placement::HOST).unwrap_err(), alone);
    }
}

#[test]
fn a_plugin_of_today_is_placed_in_host_memory_and_refuses_any_other() {
    let plugin = crate::build::plugin();
    let codec = plugin.codec("hostile.error").unwrap();
    let mut codec = codec.open(Side::Encoder, &Map::new(), None).unwrap();
    codec.place(Placement::HOST).unwrap();
    let on_stream = Placement { stream: 7, ..Placement::HOST };
    assert_eq!(
        codec.place(on_stream).unwrap_err().to_string(),
        "codec `hostile.error`: place failed: placement: expected stream 0, as in host memory, \
         found 7; rebuild the plugin with a newer strait-sdk"
    );
    let bytes = [1, 2, 3, 4];
    let message = MatrixRef { rows: 1, channels: 2, dtype: Dtype::F16, bytes: &bytes, side: &[] };
    let mut payload = Vec::new();
    codec.encode(message, &mut payload).unwrap();
    assert_eq!(payload, bytes, "a refusal changes nothing");
}

#[test]
fn a_minor_that_changes_a_type_is_refused_by_the_layout_check() {
    let mut workspace = Workspace::new("broken", "1.5.0");
    workspace.insert("crates/abi/src/matrix.rs", "    device: u32,\n", "    added: u64,\n");
    workspace.insert("crates/abi/src/matrix.rs", "device: DEVICE_HOST,\n", "added: 0,\n");
    let built = workspace.build_plugin();
    let error = Plugin::open(&built, None, HOST).unwrap_err().to_string();
    assert_eq!(
        error.replace(&built.display().to_string(), "X"),
        "plugin X: expected the layout of ABI 1, found another one (its types differ); \
         rebuild it with strait-sdk 1 (details in the debug log)"
    );
}

#[test]
fn a_plugin_of_another_major_is_refused_with_one_line() {
    let built = Workspace::new("major", "2.0.0").build_plugin();
    let error = Plugin::open(&built, None, HOST).unwrap_err().to_string();
    assert_eq!(
        error.replace(&built.display().to_string(), "X"),
        "plugin X: expected ABI 1, found ABI 2.0 (strait-sdk 2.0.0); rebuild it with strait-sdk 1"
    );
}

/// The plugin of another team, built against this SDK.
pub(crate) fn shift() -> PathBuf {
    Workspace::new("same", "1.3.0").build_plugin()
}

fn round_trip(plugin: &Arc<Plugin>, id: &str) {
    let codec = plugin.codec(id).unwrap();
    let params = Map::from_iter([("by".to_owned(), 5.into())]);
    let bytes = [1, 2, 3, 255];
    let message = MatrixRef { rows: 1, channels: 2, dtype: Dtype::BF16, bytes: &bytes, side: &[] };
    let mut payload = Vec::new();
    codec.open(Side::Encoder, &params, None).unwrap().encode(message, &mut payload).unwrap();
    assert_eq!(payload, [6, 7, 8, 4]);
    let mut decoded = [0; 4];
    let target = MatrixMut { rows: 1, channels: 2, dtype: Dtype::BF16, bytes: &mut decoded };
    codec.open(Side::Decoder, &params, None).unwrap().decode(&payload, target).unwrap();
    assert_eq!(decoded, bytes);
}

/// A workspace outside the repository. Its folder keeps its name from run to run and its files keep
/// their times, so that cargo builds only what has changed.
struct Workspace {
    folder: PathBuf,
    variant: &'static str,
    files: BTreeMap<PathBuf, String>,
}

impl Workspace {
    fn new(variant: &'static str, version: &str) -> Self {
        let checkout = target_tmp().display().to_string().replace('/', "-");
        let folder = std::env::temp_dir().join(format!("strait-evolution{checkout}")).join(variant);
        let mut workspace = Workspace { folder, variant, files: BTreeMap::new() };
        let manifest = read(&repository().join("Cargo.toml"));
        let members = r#"members = ["crates/*"]"#;
        let root =
            manifest.lines().map(|line| if line.starts_with("members") { members } else { line });
        workspace.add("Cargo.toml", root.collect::<Vec<_>>().join("\n"));
        for name in ["abi", "sdk", "sdk-derive", "loader"] {
            workspace.copy(&Path::new("crates").join(name), version);
        }
        workspace.add(
            "crates/shift/Cargo.toml",
            format!(
                "[package]\nname = \"shift-{variant}\"\nversion = \"0.3.0\"\nedition = \"2024\"\n\
                 [lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n\
                 [dependencies]\nstrait-sdk.workspace = true\n"
            ),
        );
        workspace.add("crates/shift/src/lib.rs", PLUGIN.replace("VARIANT", variant));
        workspace.add(
            "crates/host/Cargo.toml",
            "[package]\nname = \"newer-host\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
             [dependencies]\nstrait-loader.workspace = true\nserde_json.workspace = true\n"
                .to_owned(),
        );
        workspace.add("crates/host/src/main.rs", NEWER_HOST.to_owned());
        workspace
    }

    /// Copies the manifest and the sources of a crate, with another version and without what only
    /// its own tests and benchmarks need.
    fn copy(&mut self, name: &Path, version: &str) {
        for file in files_below(&repository().join(name).join("src")) {
            let place = file.strip_prefix(repository()).unwrap();
            self.add(place, read(&file));
        }
        let manifest = name.join("Cargo.toml");
        let text = read(&repository().join(&manifest));
        let text = text.replace("version = \"1.3.0\"", &format!("version = \"{version}\""));
        let for_tests = ["dev-dependencies", "[bench"];
        let sections = text.split("\n[").filter(|s| !for_tests.iter().any(|t| s.starts_with(t)));
        self.add(manifest, sections.collect::<Vec<_>>().join("\n["));
    }

    /// What a minor version may do: a new function of the plugin and a new service of the host, each
    /// after the last field.
    fn add_fields(&mut self) {
        self.insert(
            "crates/abi/src/module.rs",
            PLACE_CODEC,
            "    /// New in 1.4.\n    pub flush: extern \"C\" fn(InstanceHandle) -> Outcome,\n",
        );
        self.insert(
            "crates/sdk/src/boundary/codec.rs",
            "        place,\n",
            "        flush: reset,\n",
        );
        self.insert(
            "crates/abi/src/host.rs",
            "    pub open_inner: extern \"C\" fn(u64, RStr<'_>, RStr<'_>) -> InnerOpened,\n",
            "    /// New in 1.4.\n    pub memory_bytes: u64,\n",
        );
        self.insert(
            "crates/sdk/src/boundary/host.rs",
            "    let _ = HOST.set(services);\n",
            "    assert!(services.memory_bytes().is_none_or(|bytes| bytes == 77));\n",
        );
        self.insert(
            "crates/loader/src/host.rs",
            "log: forward, max_log_level, open_inner",
            ", memory_bytes: 77",
        );
    }

    /// Makes the SDK one of this minor: what was added later goes, the newest first.
    fn make_older(&mut self, minor: u32) {
        let module = "crates/abi/src/module.rs";
        if minor < 3 {
            self.remove(module, PLACE_CODEC);
            self.remove(module, PLACE_PRESS);
            self.remove("crates/sdk/src/boundary/codec.rs", "        place,\n");
            self.remove("crates/sdk/src/boundary/press.rs", ", place");
        }
        if minor < 2 {
            self.remove("crates/sdk/src/boundary/export.rs", LISTING);
        }
        if minor < 1 {
            self.remove(module, PRESS_FIELDS);
            self.remove("crates/sdk/src/boundary/press.rs", ", needs, press: press_layer, reset");
            self.remove("crates/abi/src/host.rs", OPEN_INNER);
            self.replace("crates/sdk/src/boundary/offer.rs", "host.open_inner()", NO_OPEN_INNER);
        }
    }

    fn remove(&mut self, file: &str, text: &str) {
        self.replace(file, text, "");
    }

    fn replace(&mut self, file: &str, text: &str, by: &str) {
        let whole = self.files.get_mut(Path::new(file)).unwrap();
        assert!(whole.contains(text), "{file}: no {text}");
        *whole = whole.replacen(text, by, 1);
    }

    fn insert(&mut self, file: &str, after: &str, addition: &str) {
        let text = self.files.get_mut(Path::new(file)).unwrap();
        let (before, rest) = text.split_once(after).unwrap_or_else(|| panic!("{file}: no {after}"));
        *text = format!("{before}{after}{addition}{rest}");
    }

    fn add(&mut self, file: impl Into<PathBuf>, text: String) {
        self.files.insert(file.into(), text);
    }

    fn build_plugin(&self) -> PathBuf {
        let package = format!("shift-{}", self.variant);
        self.build(&package).join(format!("libshift_{}.so", self.variant))
    }

    fn build_host(&self) -> PathBuf {
        self.build("newer-host").join("newer-host")
    }

    fn build(&self, package: &str) -> PathBuf {
        let _guard = BUILDING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        self.write();
        let target = target_tmp().join("evolution");
        cargo(&self.folder, &target, &["build", "--release", "--package", package]);
        target.join("release")
    }

    fn write(&self) {
        for (file, text) in &self.files {
            write(&self.folder.join(file), text);
        }
        for file in files_below(&self.folder.join("crates")) {
            if !self.files.contains_key(file.strip_prefix(&self.folder).unwrap()) {
                std::fs::remove_file(file).unwrap();
            }
        }
        // The versions of the repository. Cargo removes what this workspace does not use, so its
        // own file is only replaced when the repository's has changed.
        let lock = read(&repository().join("Cargo.lock"));
        let seen = self.folder.join("repository.lock");
        if !std::fs::read_to_string(&seen).is_ok_and(|old| old == lock) {
            write(&self.folder.join("Cargo.lock"), &lock);
            write(&seen, &lock);
        }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Writes a file unless it has this content already, which keeps its time.
fn write(path: &Path, text: &str) {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
