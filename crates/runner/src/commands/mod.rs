//! The commands that work on an experiment, one file or folder each.

pub(crate) mod analyze;
pub(crate) mod fit;
pub(crate) mod generate;
pub(crate) mod heads;
pub(crate) mod run;
