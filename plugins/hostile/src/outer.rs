//! Codecs with another one inside.

use strait_sdk::prelude::*;

/// When to use the inner codec.
#[derive(Params)]
pub(crate) struct OuterParams {
    /// The codec inside.
    #[param(default = "hostile.panic")]
    inner: InnerCodec,
    /// Whether to open it in the first `encode` instead of in `open`, which is too late.
    #[param(default = false)]
    late: bool,
}

/// Passes everything on to the inner codec, behind one byte of its own.
pub(crate) struct Outer {
    params: OuterParams,
    inner: Option<Inner>,
}

impl Outer {
    fn inner(&mut self) -> Result<&mut Inner> {
        let inner = match self.inner.take() {
            Some(inner) => inner,
            None => self.params.inner.open()?,
        };
        Ok(self.inner.insert(inner))
    }
}

impl Codec for Outer {
    const INFO: CodecInfo =
        CodecInfo { id: "hostile.outer", summary: "has a codec inside", ..CodecInfo::DEFAULT };
    type Params = OuterParams;

    fn open(params: OuterParams) -> Result<Self> {
        let inner = if params.late { None } else { Some(params.inner.open()?) };
        Ok(Outer { params, inner })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        payload.push(7);
        self.inner()?.encode(message, payload)
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let (_, payload) = payload.split_first().ok_or_else(|| Error::payload_length(1, 0))?;
        self.inner()?.decode(payload, message)
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        match self.inner.as_ref().map(|inner| inner.payload_bytes(shape)) {
            Some(PayloadBytes::Exact(bytes)) => PayloadBytes::Exact(bytes.saturating_add(1)),
            Some(PayloadBytes::AtMost(bytes)) => PayloadBytes::AtMost(bytes.saturating_add(1)),
            None => PayloadBytes::AtMost(1),
        }
    }

    fn reset(&mut self) {
        if let Some(inner) = &mut self.inner {
            inner.reset();
        }
    }
}

/// Parameters of [`Myself`].
#[derive(Params)]
pub(crate) struct MyselfParams {
    /// The codec inside: this one again, without an end. Whatever it is, it is not opened.
    #[param(default = "hostile.self")]
    #[allow(dead_code)]
    inner: InnerCodec,
}

/// Opens itself inside, whatever the parameters say.
pub(crate) struct Myself;

impl Codec for Myself {
    const INFO: CodecInfo =
        CodecInfo { id: "hostile.self", summary: "has itself inside", ..CodecInfo::DEFAULT };
    type Params = MyselfParams;

    fn open(_: MyselfParams) -> Result<Self> {
        let params = [("inner".to_owned(), "hostile.panic".into())].into_iter().collect();
        InnerCodec::new("hostile.self", params).open().map(|_| Myself)
    }

    fn encode(&mut self, _: Message<'_>, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn decode(&mut self, _: &[u8], _: &mut MessageMut<'_>) -> Result<()> {
        Ok(())
    }

    fn payload_bytes(&self, _: Shape) -> PayloadBytes {
        PayloadBytes::Exact(0)
    }
}
