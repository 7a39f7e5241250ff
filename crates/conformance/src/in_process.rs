//! A codec that is linked into this process.

use std::marker::PhantomData;
use std::sync::Arc;

use serde_json::{Map, Value};
use strait_sdk::{Codec, Message, MessageMut, Params, PayloadBytes, Shape, Side};

use crate::battery::{self, CHECKS};
use crate::subject::{Call, End, Facts, Instance, Subject, WROTE_TO_THE_MESSAGE};
use crate::{Case, Report, Sample};

/// Runs every check on a codec with every case.
pub fn check_codec<C: Codec>(cases: &[Case]) -> Report {
    battery::run(Arc::new(InProcess::<C>::new()), cases, CHECKS)
}

/// Runs the check with this name, and fails the test if it fails.
#[doc(hidden)]
#[track_caller]
pub fn assert_check<C: Codec>(name: &str, cases: &[Case]) {
    let checks: Vec<_> = CHECKS.iter().filter(|check| check.name == name).copied().collect();
    assert_eq!(checks.len(), 1, "no check is called {name}");
    battery::run(Arc::new(InProcess::<C>::new()), cases, &checks).assert_passed();
}

pub(crate) struct InProcess<C>(PhantomData<fn() -> C>);

impl<C> InProcess<C> {
    pub(crate) fn new() -> Self {
        InProcess(PhantomData)
    }
}

impl<C: Codec> Subject for InProcess<C> {
    fn facts(&self) -> Facts {
        let info = C::INFO;
        Facts {
            id: info.id.to_owned(),
            summary: info.summary.to_owned(),
            paper: info.paper.to_owned(),
            sites: info.sites.iter().map(|site| site.name().to_owned()).collect(),
            lossless: info.lossless,
            fits: info.fits,
            params: C::Params::specs(),
        }
    }

    fn check_params(&self, params: &Map<String, Value>) -> Call<()> {
        read::<C>(params).map(drop)
    }

    fn fit(&self, params: &Map<String, Value>, samples: &[Sample]) -> Call<Vec<u8>> {
        let params = read::<C>(params)?;
        let sides: Vec<_> = samples.iter().map(sides::<C>).collect();
        let messages: Vec<Message<'_>> = samples
            .iter()
            .zip(&sides)
            .map(|(sample, side)| Message::new(sample.shape(), sample.bytes(), side))
            .collect::<Result<_, _>>()
            .map_err(text)?;
        C::fit(&params, &messages).map_err(text)
    }

    fn open(
        &self,
        _: End,
        params: &Map<String, Value>,
        artifact: Option<&[u8]>,
    ) -> Call<Box<dyn Instance>> {
        let params = read::<C>(params)?;
        let codec = match artifact {
            Some(artifact) => C::open_fitted(params, artifact),
            None => C::open(params),
        };
        Ok(Box::new(Opened(codec.map_err(text)?)))
    }
}

struct Opened<C>(C);

impl<C: Codec> Instance for Opened<C> {
    fn encode(&mut self, sample: &Sample) -> Call<Vec<u8>> {
        let side = sides::<C>(sample);
        let message = Message::new(sample.shape(), sample.bytes(), &side).map_err(text)?;
        let mut payload = Vec::new();
        let before = sample.bytes().to_vec();
        let result = self.0.encode(message, &mut payload);
        if sample.bytes() != before {
            return Err(WROTE_TO_THE_MESSAGE.to_owned());
        }
        result.map(|()| payload).map_err(text)
    }

    fn decode(&mut self, payload: &[u8], shape: Shape, bytes: &mut [u8]) -> Call<()> {
        let mut message = MessageMut::new(shape, bytes).map_err(text)?;
        self.0.decode(payload, &mut message).map_err(text)
    }

    fn payload_bytes(&mut self, shape: Shape) -> Call<PayloadBytes> {
        Ok(self.0.payload_bytes(shape))
    }

    fn reset(&mut self) -> Call<()> {
        self.0.reset();
        Ok(())
    }
}

fn read<C: Codec>(params: &Map<String, Value>) -> Call<C::Params> {
    C::Params::from_json(&Value::Object(params.clone())).map_err(text)
}

fn sides<C: Codec>(sample: &Sample) -> Vec<Side<'_>> {
    C::INFO.side_information.iter().map(|name| Side::new(name, sample.side())).collect()
}

fn text(error: strait_sdk::Error) -> String {
    error.to_string()
}
