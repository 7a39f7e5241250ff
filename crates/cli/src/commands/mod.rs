//! One file a command.

pub(crate) mod fit;
pub(crate) mod inspect;
pub(crate) mod plugins;
pub(crate) mod run;
pub(crate) mod schema;
