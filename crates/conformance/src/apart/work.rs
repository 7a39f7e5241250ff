//! The body of such a process: loads the plugin and answers requests.

use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use strait_sdk::{PayloadBytes, Shape};

use super::frame::{self, Reply, Request};
use crate::library::Library;
use crate::sample::AlignedBytes;
use crate::subject::{Call, End, Instance, Subject};
use crate::{Sample, press};

/// Answers the requests of [`check_library_apart`](super::check_library_apart) until there are no
/// more.
///
/// # Errors
/// A connection that breaks.
pub fn work(socket: &Path, file: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    let library = Library::open(file).map_err(|error| error.to_string());
    let mut side = Side { library, instances: HashMap::new(), opened: 0 };
    loop {
        let (request, bytes) = match frame::read(&mut stream) {
            Ok(question) => question,
            // The other process has finished.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let answer = catch_unwind(AssertUnwindSafe(|| side.answer(request, &bytes)));
        let (reply, bytes) = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(text)) => (Reply::Refused(text), Vec::new()),
            Err(panic) => (Reply::Panicked(panic_text(&*panic)), Vec::new()),
        };
        frame::write(&mut stream, &reply, &bytes)?;
    }
}

struct Side {
    library: Result<Library, String>,
    instances: HashMap<usize, Box<dyn Instance>>,
    opened: usize,
}

impl Side {
    fn answer(&mut self, request: Request, bytes: &[u8]) -> Call<(Reply, Vec<u8>)> {
        let library = self.library.as_ref().map_err(Clone::clone)?;
        let done = |bytes: Vec<u8>| Ok((Reply::Done, bytes));
        match request {
            Request::Describe => {
                let (codecs, presses) = (library.codecs().to_vec(), library.presses());
                Ok((Reply::Described { codecs, presses }, Vec::new()))
            }
            Request::Resolve { codec, params } => {
                library.codec(&codec)?.check_params(&params)?;
                done(Vec::new())
            }
            Request::Fit { codec, params, samples } => {
                let samples = split(bytes, samples.into_iter().map(Shape::from))?;
                done(library.codec(&codec)?.fit(&params, &samples)?)
            }
            Request::Open { codec, encoder, params, fitted } => {
                let end = if encoder { End::Encoder } else { End::Decoder };
                let instance =
                    library.codec(&codec)?.open(end, &params, fitted.then_some(bytes))?;
                self.opened += 1;
                self.instances.insert(self.opened, instance);
                Ok((Reply::Opened(self.opened), Vec::new()))
            }
            Request::Encode { instance, size } => {
                let sample = Sample::of_bytes(size.into(), bytes)?;
                done(self.instance(instance)?.encode(&sample)?)
            }
            Request::Decode { instance, size } => {
                let shape: Shape = size.into();
                let mut decoded = AlignedBytes::new(shape.bytes());
                decoded.get_mut().fill(0xff);
                self.instance(instance)?.decode(bytes, shape, decoded.get_mut())?;
                done(decoded.get().to_vec())
            }
            Request::PayloadBytes { instance, size } => {
                let bound = self.instance(instance)?.payload_bytes(size.into())?;
                let exact = matches!(bound, PayloadBytes::Exact(_));
                Ok((Reply::Bounded { bytes: bound.limit(), exact }, Vec::new()))
            }
            Request::Reset { instance } => {
                self.instance(instance)?.reset()?;
                done(Vec::new())
            }
            Request::Close { instance } => {
                self.instances.remove(&instance);
                done(Vec::new())
            }
            Request::CheckPress { press } => {
                let report = press::check_entry(library.press(&press)?);
                let failures = report.outcomes.into_iter().map(|outcome| outcome.failure);
                Ok((Reply::Checked(failures.collect()), Vec::new()))
            }
        }
    }

    fn instance(&mut self, number: usize) -> Call<&mut Box<dyn Instance>> {
        self.instances.get_mut(&number).ok_or_else(|| format!("no instance {number}"))
    }
}

/// Splits bytes into samples of these shapes.
fn split(mut bytes: &[u8], shapes: impl Iterator<Item = Shape>) -> Call<Vec<Sample>> {
    let mut samples = Vec::new();
    for shape in shapes {
        let (sample, rest) =
            bytes.split_at_checked(shape.bytes()).ok_or("samples: too few bytes")?;
        samples.push(Sample::of_bytes(shape, sample)?);
        bytes = rest;
    }
    Ok(samples)
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".to_owned())
}
