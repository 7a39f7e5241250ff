//! A codec in a built file, opened through the loader as the host does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use strait_loader::{
    CallError, CodecDescriptor, CodecEntry, CodecInstance, HostServices, LoaderError, MatrixMut,
    MatrixRef, ParamKind, Plugin, PluginSet, PressEntry, Side,
};
use strait_sdk::{PayloadBytes, Shape};

use crate::battery::{self, CHECKS};
use crate::subject::{Call, End, Facts, Instance, Subject, WROTE_TO_THE_MESSAGE};
use crate::{Case, Report, Sample};

/// Runs every check on each codec and press of a built plugin in this process, with its default
/// parameters. Inner codecs come from the files of the same folder.
///
/// # Errors
/// A file that cannot be loaded as a plugin.
pub fn check_library(path: &Path) -> Result<Report, Box<LoaderError>> {
    let library = Library::open(path)?;
    let mut report = Report::default();
    for codec in library.codecs() {
        let subject = Arc::new(InLibrary(library.entry(&codec.id)?));
        let checked = battery::run(subject, &[Case::default()], CHECKS);
        report.outcomes.extend(checked.outcomes);
    }
    for press in library.plugin.presses() {
        if let Some(entry) = library.plugin.press(&press.id) {
            report.outcomes.extend(crate::press::check_entry(entry).outcomes);
        }
    }
    Ok(report)
}

/// A built plugin, with the files of its folder if its codecs may contain others.
pub(crate) struct Library {
    plugin: Arc<Plugin>,
    siblings: Option<PluginSet>,
}

impl Library {
    pub(crate) fn open(path: &Path) -> Result<Self, Box<LoaderError>> {
        let plugin = Arc::new(Plugin::open(path, None, HostServices::default())?);
        let mut params = plugin.codecs().iter().flat_map(|codec| &codec.params);
        let composes = params.any(|spec| spec.kind == ParamKind::Codec);
        let siblings = match path.parent().filter(|_| composes) {
            Some(folder) => {
                // The folder of a bare file name is the current one.
                let here = Path::new(".");
                let folder = if folder.as_os_str().is_empty() { here } else { folder };
                Some(PluginSet::scan(folder, &BTreeMap::new(), HostServices::default())?)
            }
            None => None,
        };
        Ok(Library { plugin, siblings })
    }

    pub(crate) fn codecs(&self) -> &[CodecDescriptor] {
        self.plugin.codecs()
    }

    pub(crate) fn presses(&self) -> Vec<String> {
        self.plugin.presses().iter().map(|press| press.id.clone()).collect()
    }

    /// A codec as a subject of checks.
    pub(crate) fn codec(&self, id: &str) -> Call<InLibrary> {
        self.entry(id).map(InLibrary).map_err(|error| error.to_string())
    }

    pub(crate) fn press(&self, id: &str) -> Call<PressEntry> {
        self.plugin.press(id).ok_or_else(|| format!("no press `{id}`"))
    }

    fn entry(&self, id: &str) -> Result<CodecEntry, Box<LoaderError>> {
        if let Some(siblings) = &self.siblings {
            return Ok(siblings.codec(id)?);
        }
        let unknown = || LoaderError::UnknownCodec {
            id: id.to_owned(),
            known: self.codecs().iter().map(|codec| codec.id.clone()).collect(),
            nearest: Vec::new(),
            folder: self.plugin.path().to_owned(),
            left_out: Vec::new(),
        };
        Ok(self.plugin.codec(id).ok_or_else(unknown)?)
    }
}

pub(crate) struct InLibrary(CodecEntry);

impl InLibrary {
    pub(crate) fn new(entry: CodecEntry) -> Self {
        InLibrary(entry)
    }
}

impl Subject for InLibrary {
    fn facts(&self) -> Facts {
        Facts::of(self.0.descriptor().clone())
    }

    fn check_params(&self, params: &Map<String, Value>) -> Call<()> {
        self.0.resolve(params).map(drop).map_err(|error| error.to_string())
    }

    fn fit(&self, params: &Map<String, Value>, samples: &[Sample]) -> Call<Vec<u8>> {
        let sides: Vec<_> = samples.iter().map(|sample| sides(&self.0, sample)).collect();
        let matrices: Vec<MatrixRef<'_>> =
            samples.iter().zip(&sides).map(|(sample, side)| matrix(sample, side)).collect();
        self.0.fit(params, &matrices).map_err(|error| error.to_string())
    }

    fn open(
        &self,
        end: End,
        params: &Map<String, Value>,
        artifact: Option<&[u8]>,
    ) -> Call<Box<dyn Instance>> {
        let side = match end {
            End::Encoder => Side::Encoder,
            End::Decoder => Side::Decoder,
        };
        let instance = self.0.open(side, params, artifact).map_err(|error| error.to_string())?;
        Ok(Box::new(Opened { entry: self.0.clone(), instance }))
    }
}

struct Opened {
    entry: CodecEntry,
    instance: CodecInstance,
}

impl Instance for Opened {
    fn encode(&mut self, sample: &Sample) -> Call<Vec<u8>> {
        let mut payload = Vec::new();
        let side = sides(&self.entry, sample);
        // The loader compares only the ends of a message.
        let before = sample.bytes().to_vec();
        let result = self.instance.encode(matrix(sample, &side), &mut payload);
        if sample.bytes() != before {
            return Err(WROTE_TO_THE_MESSAGE.to_owned());
        }
        result.map(|()| payload).map_err(text)
    }

    fn decode(&mut self, payload: &[u8], shape: Shape, bytes: &mut [u8]) -> Call<()> {
        let Shape { rows, channels, dtype } = shape;
        let message = MatrixMut { rows, channels, dtype, bytes };
        self.instance.decode(payload, message).map_err(text)
    }

    fn payload_bytes(&mut self, shape: Shape) -> Call<PayloadBytes> {
        self.instance.payload_bytes(shape).map_err(text)
    }

    fn reset(&mut self) -> Call<()> {
        self.instance.reset().map_err(text)
    }
}

/// The message of a codec's error.
///
/// # Panics
/// When the codec panicked, so that no check mistakes that for an ordinary error.
fn text(error: CallError) -> String {
    match error {
        #[allow(clippy::panic)]
        CallError::Panicked { call, message, .. } => panic!("{call}: {message}"),
        error => error.to_string(),
    }
}

fn matrix<'a>(sample: &'a Sample, side: &'a [(&'a str, &'a [f32])]) -> MatrixRef<'a> {
    let Shape { rows, channels, dtype } = sample.shape();
    MatrixRef { rows, channels, dtype, bytes: sample.bytes(), side }
}

fn sides<'a>(entry: &'a CodecEntry, sample: &'a Sample) -> Vec<(&'a str, &'a [f32])> {
    let names = &entry.descriptor().side_information;
    names.iter().map(|name| (name.as_str(), sample.side())).collect()
}
