//! One file a command.

pub(crate) mod analyze;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod devices;
pub(crate) mod fit;
pub(crate) mod generate;
pub(crate) mod import;
pub(crate) mod import_spec;
pub(crate) mod inspect;
pub(crate) mod plan;
pub(crate) mod plot;
pub(crate) mod plugins;
pub(crate) mod report;
pub(crate) mod reproduce;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod table;
pub(crate) mod watch;
