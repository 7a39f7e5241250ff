//! Everything a codec's source file needs, in one `use`.

pub use crate::press::{Kept, Layer, Need, Press, PressInfo, Scores, Selection};
pub use crate::{
    Choice, Codec, CodecInfo, Dtype, Error, Inner, InnerCodec, Message, MessageMut, NoParams,
    Params, PayloadBytes, Result, Shape, Site,
};
