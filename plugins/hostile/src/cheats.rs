//! Codecs whose decoder relies on more than the payload: a fine score for no bytes, if nobody looks.

use std::sync::Mutex;

use strait_sdk::prelude::*;

static LAST_MESSAGE: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Hands the message over through a static variable; the payload is empty.
pub(crate) struct StaticCheat;

impl Codec for StaticCheat {
    const INFO: CodecInfo = CodecInfo {
        id: "hostile.static-cheat",
        summary: "hands messages to the decoder through a static variable",
        ..CodecInfo::DEFAULT
    };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(StaticCheat)
    }

    fn encode(&mut self, message: Message<'_>, _: &mut Vec<u8>) -> Result<()> {
        *last_message()? = message.bytes().to_vec();
        Ok(())
    }

    fn decode(&mut self, _: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        restore(&last_message()?, message)
    }

    fn payload_bytes(&self, _: Shape) -> PayloadBytes {
        PayloadBytes::Exact(0)
    }
}

fn last_message() -> Result<std::sync::MutexGuard<'static, Vec<u8>>> {
    LAST_MESSAGE.lock().map_err(|error| Error::new(error.to_string()))
}

fn restore(known: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
    if known.len() != message.shape().bytes() {
        return Err("hostile cheat: the encoder's message is not here".into());
    }
    message.bytes_mut().copy_from_slice(known);
    Ok(())
}

/// Keeps the message in the instance; the payload is empty.
pub(crate) struct InstanceCheat(Vec<u8>);

impl Codec for InstanceCheat {
    const INFO: CodecInfo = CodecInfo {
        id: "hostile.instance-cheat",
        summary: "keeps messages in the instance for its own decoder",
        ..CodecInfo::DEFAULT
    };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(InstanceCheat(Vec::new()))
    }

    fn encode(&mut self, message: Message<'_>, _: &mut Vec<u8>) -> Result<()> {
        self.0 = message.bytes().to_vec();
        Ok(())
    }

    fn decode(&mut self, _: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        restore(&self.0, message)
    }

    fn payload_bytes(&self, _: Shape) -> PayloadBytes {
        PayloadBytes::Exact(0)
    }
}
