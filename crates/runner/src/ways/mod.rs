//! How each kind of cell goes through the model, and what it leaves for its journal.

pub(crate) mod caches;
pub(crate) mod ends;
pub(crate) mod links;
mod open;
mod plausible;
pub(crate) mod probe;
pub(crate) mod reruns;
mod score;

use strait_model::{Reference, Stage};

pub(crate) use self::open::open;
use crate::engine;

/// A lane's path through the stages of models.
pub(crate) type Road<'a> = engine::Road<'a, dyn Stage, Reference>;

/// A way through the model.
pub(crate) type BoxedWay<'a> = Box<dyn engine::Way<dyn Stage, Reference> + 'a>;
