//! A codec that shows what the host's services look like from inside a plugin.

use strait_sdk::prelude::*;
use strait_sdk::{host, log};

/// Logs at every level; its payload says how many threads and which side information it was given.
pub(crate) struct Chatty;

impl Codec for Chatty {
    const INFO: CodecInfo = CodecInfo {
        id: "hostile.chatty",
        summary: "logs, and writes down what the host told it",
        side_information: &["importance"],
        ..CodecInfo::DEFAULT
    };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        log::warn!("open with {} threads", host::threads());
        Ok(Chatty)
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        log::info!("encode {} rows", message.rows());
        log::trace!("encode has begun");
        let importance = message.side("importance").map_or(0.0, |values| values.iter().sum());
        payload.extend_from_slice(format!("{} {importance}", host::threads()).as_bytes());
        Ok(())
    }

    fn decode(&mut self, _: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let stray = std::thread::spawn(|| panic!("hostile panic in a thread of the plugin"));
        let _ = stray.join();
        message.bytes_mut().fill(0);
        Ok(())
    }

    fn payload_bytes(&self, _: Shape) -> PayloadBytes {
        PayloadBytes::AtMost(64)
    }
}
