//! Files from the Hugging Face hub, for models and data sets alike: in its usual cache, resumed after a
//! broken connection, and checked against the hub's checksum before anything reads them.
//!
//! [`Hub::get`] is all of it. Cache layout, token and environment variables are those of Hugging Face's
//! own tools, so what they fetched is found here and the other way round.

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
