//! frontier with the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use strait_conformance::case;
use strait_frontier::{Frontier, FrontierFitted};

strait_conformance::check!(mod frontier: Frontier, [case!({}), case!({ "bits": 0.0 }), case!({ "bits": 12.0, "history": 2 }), case!({ "history": 0 })]);
strait_conformance::check!(mod fitted: FrontierFitted, [case!({ "block": 20 }), case!({ "bits": 1.0, "block": 7 })]);
