//! A codec whose two sides are in two processes, behind the trait that the checks use.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use strait_loader::CodecDescriptor;
use strait_sdk::{PayloadBytes, Shape};

use super::Program;
use super::frame::{Reply, Request, Size};
use super::process::Process;
use crate::Sample;
use crate::subject::{Call, End, Facts, Instance, Subject};

/// The codec.
pub(super) struct Apart {
    pub(super) codec: CodecDescriptor,
    pub(super) encoding: Arc<Mutex<Place>>,
    pub(super) decoding: Arc<Mutex<Place>>,
}

/// The process of one side, started on demand and restarted after it has ended.
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) program: Program,
    pub(super) process: Option<Process>,
    /// How often the process has been started: an instance is lost with its process.
    pub(super) starts: usize,
}

impl Place {
    fn ask(&mut self, request: &Request, bytes: &[u8]) -> Call<(Reply, Vec<u8>)> {
        if self.process.is_none() {
            let started = Process::start(&self.file, &self.program);
            self.process = Some(started.map_err(|error| format!("start a process: {error}"))?);
            self.starts += 1;
        }
        let Some(process) = &mut self.process else { return Err("no process".to_owned()) };
        match process.ask(request, bytes) {
            Ok((Reply::Refused(text), _)) => Err(text),
            Ok((Reply::Panicked(text), _)) => ended(&text),
            Ok(answer) => Ok(answer),
            Err(how) => {
                self.process = None;
                ended(&how)
            }
        }
    }
}

/// Ends the current check, so that no check mistakes the end of a process or a panic for an error.
fn ended<T>(how: &str) -> Call<T> {
    #[allow(clippy::panic, reason = "the checks run behind `guarded`, which reports it")]
    {
        panic!("{how}")
    }
}

impl Apart {
    fn ask(&self, request: &Request, bytes: &[u8]) -> Call<(Reply, Vec<u8>)> {
        held(&self.encoding).ask(request, bytes)
    }
}

impl Subject for Apart {
    fn facts(&self) -> Facts {
        Facts::of(self.codec.clone())
    }

    fn check_params(&self, params: &Map<String, Value>) -> Call<()> {
        let (codec, params) = (self.codec.id.clone(), params.clone());
        self.ask(&Request::Resolve { codec, params }, &[]).map(drop)
    }

    fn fit(&self, params: &Map<String, Value>, samples: &[Sample]) -> Call<Vec<u8>> {
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.bytes()).copied().collect();
        let samples = samples.iter().map(|sample| Size::from(sample.shape())).collect();
        let (codec, params) = (self.codec.id.clone(), params.clone());
        self.ask(&Request::Fit { codec, params, samples }, &bytes).map(|(_, artifact)| artifact)
    }

    fn open(
        &self,
        end: End,
        params: &Map<String, Value>,
        artifact: Option<&[u8]>,
    ) -> Call<Box<dyn Instance>> {
        let encoder = end == End::Encoder;
        let place = if encoder { &self.encoding } else { &self.decoding };
        let (codec, params, fitted) = (self.codec.id.clone(), params.clone(), artifact.is_some());
        let request = Request::Open { codec, encoder, params, fitted };
        let mut held = held(place);
        match held.ask(&request, artifact.unwrap_or_default())?.0 {
            Reply::Opened(number) => {
                let start = held.starts;
                drop(held);
                Ok(Box::new(Opened { place: Arc::clone(place), start, number }))
            }
            other => Err(format!("expected an instance, found {other:?}")),
        }
    }
}

/// An open codec in one of the processes.
struct Opened {
    place: Arc<Mutex<Place>>,
    start: usize,
    number: usize,
}

impl Opened {
    fn ask(&self, request: &Request, bytes: &[u8]) -> Call<(Reply, Vec<u8>)> {
        let mut place = held(&self.place);
        if place.process.is_none() || place.starts != self.start {
            return ended("its process has ended before");
        }
        place.ask(request, bytes)
    }
}

impl Instance for Opened {
    fn encode(&mut self, sample: &Sample) -> Call<Vec<u8>> {
        let request = Request::Encode { instance: self.number, size: sample.shape().into() };
        self.ask(&request, sample.bytes()).map(|(_, payload)| payload)
    }

    fn decode(&mut self, payload: &[u8], shape: Shape, bytes: &mut [u8]) -> Call<()> {
        let request = Request::Decode { instance: self.number, size: shape.into() };
        let (_, decoded) = self.ask(&request, payload)?;
        if decoded.len() != bytes.len() {
            return Err(format!("expected {} decoded bytes, found {}", bytes.len(), decoded.len()));
        }
        bytes.copy_from_slice(&decoded);
        Ok(())
    }

    fn payload_bytes(&mut self, shape: Shape) -> Call<PayloadBytes> {
        let request = Request::PayloadBytes { instance: self.number, size: shape.into() };
        match self.ask(&request, &[])?.0 {
            Reply::Bounded { bytes, exact: true } => Ok(PayloadBytes::Exact(bytes)),
            Reply::Bounded { bytes, exact: false } => Ok(PayloadBytes::AtMost(bytes)),
            other => Err(format!("expected a bound, found {other:?}")),
        }
    }

    fn reset(&mut self) -> Call<()> {
        self.ask(&Request::Reset { instance: self.number }, &[]).map(drop)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut place = held(&self.place);
        if place.starts == self.start
            && let Some(process) = &mut place.process
            && process.ask(&Request::Close { instance: self.number }, &[]).is_err()
        {
            // A crash on dropping shows in the next check, which finds no process.
            place.process = None;
        }
    }
}

fn held(place: &Mutex<Place>) -> MutexGuard<'_, Place> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}
