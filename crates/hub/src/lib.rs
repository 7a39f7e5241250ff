//! Fetches files from the Hugging Face hub, for models and data sets alike, into the hub's usual cache.
//! A download is resumed after a broken connection and checked against the hub's checksum before
//! anything reads it.
//!
//! [`Hub::get`] is the whole interface. Cache layout, token and environment variables are those of
//! Hugging Face's own tools, so either side finds the files that the other has fetched.

mod address;
mod error;
mod hub;
mod progress;
mod stand_in;
mod store;
mod transfer;

pub use address::{Address, Kind, Repository};
pub use error::{HubError, Reason};
pub use hub::Hub;
pub use progress::{Progress, Silent};
pub use stand_in::StandIn;
