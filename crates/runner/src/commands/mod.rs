//! What can be done with an experiment: one file or folder for each command.

pub(crate) mod analyze;
pub(crate) mod fit;
pub(crate) mod generate;
pub(crate) mod heads;
pub(crate) mod run;
