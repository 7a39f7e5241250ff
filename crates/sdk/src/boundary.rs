//! The plugin's side of the boundary: everything between the functions that the host calls and the
//! author's [`Codec`](crate::Codec). Panics stop here.

mod codec;
mod export;
mod guard;
mod host;
mod press;
mod table;

pub use export::{Exported, header, module};
pub use press::PressTable;
pub use table::CodecTable;
