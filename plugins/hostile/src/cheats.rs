//! Codecs whose decoder relies on more than the payload: a fine score for no bytes, if nobody looks.

// One cheat reads memory by its address.
#![allow(unsafe_code)]

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// Hands the message over through a file; the payload is the file's number.
pub(crate) struct FileCheat;

static FILES: AtomicU64 = AtomicU64::new(0);

fn file(number: &[u8]) -> PathBuf {
    let number: String = number.iter().map(|byte| format!("{byte:02x}")).collect();
    std::env::temp_dir().join(format!("strait-hostile-{number}"))
}

impl Codec for FileCheat {
    const INFO: CodecInfo = CodecInfo {
        id: "hostile.file-cheat",
        summary: "hands messages to the decoder through a file",
        ..CodecInfo::DEFAULT
    };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(FileCheat)
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        payload.extend_from_slice(&std::process::id().to_le_bytes());
        payload.extend_from_slice(&FILES.fetch_add(1, Ordering::Relaxed).to_le_bytes()[..4]);
        std::fs::write(file(payload), message.bytes()).map_err(|e| Error::new(e.to_string()))
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let known = std::fs::read(file(payload));
        let _ = std::fs::remove_file(file(payload));
        restore(&known.unwrap_or_default(), message)
    }

    fn payload_bytes(&self, _: Shape) -> PayloadBytes {
        PayloadBytes::Exact(8)
    }
}

/// Hands the message over through memory that both copies of the file can reach; the payload is its
/// address.
pub(crate) struct AddressCheat;

impl Codec for AddressCheat {
    const INFO: CodecInfo = CodecInfo {
        id: "hostile.address-cheat",
        summary: "hands messages to the decoder by their address",
        ..CodecInfo::DEFAULT
    };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(AddressCheat)
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let message: &'static [u8] = message.bytes().to_vec().leak();
        payload.extend_from_slice(&(message.as_ptr().expose_provenance() as u64).to_le_bytes());
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let address: [u8; 8] = payload.try_into().map_err(|_| Error::new("an address"))?;
        let address = std::ptr::with_exposed_provenance(u64::from_le_bytes(address) as usize);
        // SAFETY: not safe, on purpose: it works only where the encoder leaked its message into the
        // same address space.
        let known = unsafe { std::slice::from_raw_parts(address, message.shape().bytes()) };
        restore(known, message)
    }

    fn payload_bytes(&self, _: Shape) -> PayloadBytes {
        PayloadBytes::Exact(8)
    }
}
