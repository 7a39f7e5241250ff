//! What a run keeps: the results folder, a journal for each cell, and the record that is made of it.

pub(crate) mod account;
pub(crate) mod crashes;
pub(crate) mod effects;
pub(crate) mod folder;
pub mod journal;
pub(crate) mod record;
pub(crate) mod tokens;
