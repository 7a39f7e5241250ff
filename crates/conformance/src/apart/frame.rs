//! The protocol between the processes: a request or an answer as JSON, followed by bytes.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strait_loader::{CodecDescriptor, Dtype, Shape};

/// Upper limit; no check sends this much.
const MOST_BYTES: u32 = 1 << 30;

/// A shape in its transmitted form.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Size {
    rows: usize,
    channels: usize,
    dtype: Dtype,
}

/// A request from the checking process. Each variant states the bytes that follow it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Describe the contents of the file.
    Describe,
    /// Check these parameters.
    Resolve { codec: String, params: Map<String, Value> },
    /// Make an artifact. Bytes: the samples, concatenated.
    Fit { codec: String, params: Map<String, Value>, samples: Vec<Size> },
    /// Open an instance. Bytes: the artifact, if there is one.
    Open { codec: String, encoder: bool, params: Map<String, Value>, fitted: bool },
    /// Encode. Bytes: the message.
    Encode { instance: usize, size: Size },
    /// Decode. Bytes: the payload.
    Decode { instance: usize, size: Size },
    /// Bound a payload.
    PayloadBytes { instance: usize, size: Size },
    /// Begin a sequence.
    Reset { instance: usize },
    /// Drop an instance.
    Close { instance: usize },
    /// Run the checks of a press.
    CheckPress { press: String },
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// The request succeeded. Bytes: artifact, payload or message.
    Done,
    /// The descriptors of the codecs, and the ids of the presses.
    Described { codecs: Vec<CodecDescriptor>, presses: Vec<String> },
    /// The number of the instance.
    Opened(usize),
    /// Payload size in bytes, and whether it is always exactly that.
    Bounded { bytes: usize, exact: bool },
    /// Why each check of a press failed, in order; `None` if it passed.
    Checked(Vec<Option<String>>),
    /// The codec or the loader returned this error.
    Refused(String),
    /// The codec panicked with this text.
    Panicked(String),
}

impl From<Shape> for Size {
    fn from(Shape { rows, channels, dtype }: Shape) -> Self {
        Size { rows, channels, dtype }
    }
}

impl From<Size> for Shape {
    fn from(Size { rows, channels, dtype }: Size) -> Self {
        Shape { rows, channels, dtype }
    }
}

/// Writes a request or an answer with its bytes.
pub(super) fn write(out: &mut impl Write, head: &impl Serialize, bytes: &[u8]) -> io::Result<()> {
    let head = serde_json::to_vec(head)?;
    for part in [head.as_slice(), bytes] {
        let length = u32::try_from(part.len()).map_err(io::Error::other)?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(part)?;
    }
    out.flush()
}

/// Reads a request or an answer with its bytes.
pub(super) fn read<H: DeserializeOwned>(from: &mut impl Read) -> io::Result<(H, Vec<u8>)> {
    let head = read_part(from)?;
    let bytes = read_part(from)?;
    Ok((serde_json::from_slice(&head)?, bytes))
}

fn read_part(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MOST_BYTES {
        return Err(io::Error::other(format!("{length} bytes in one message")));
    }
    let mut part = vec![0; length as usize];
    from.read_exact(&mut part)?;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut pipe = Vec::new();
        let size = Size::from(Shape { rows: 2, channels: 3, dtype: Dtype::BF16 });
        write(&mut pipe, &Request::Encode { instance: 4, size }, &[1, 2, 3]).unwrap();
        write(&mut pipe, &Reply::Refused("no".to_owned()), &[]).unwrap();
        let mut pipe = pipe.as_slice();
        let (request, bytes) = read::<Request>(&mut pipe).unwrap();
        assert!(matches!(request, Request::Encode { instance: 4, size: Size { rows: 2, .. } }));
        assert_eq!(bytes, [1, 2, 3]);
        assert!(
            matches!(read::<Reply>(&mut pipe).unwrap().0, Reply::Refused(text) if text == "no")
        );
        assert!(read::<Reply>(&mut pipe).is_err());
        assert!(read::<Reply>(&mut [0xff; 8].as_slice()).is_err());
    }
}
