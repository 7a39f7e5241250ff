//! The plugin's side of the boundary: everything between the functions that the host calls and the
//! author's [`Codec`](crate::Codec). Panics stop here.

mod codec;
mod export;
mod guard;
mod host;
mod inner;
mod offer;
mod press;
mod table;

pub use export::{Exported, header, module};
pub use inner::Inner;
pub use offer::offer;
pub use press::PressTable;
pub use table::CodecTable;
