//! Records to figures: the rows of a table, what stands beside what, and what follows from several
//! records together. Pivots and comparisons, which no table fits, bring the text that shows them.

mod agree;
mod collect;
mod compare;
pub(crate) mod front;
pub(crate) mod pairs;
mod pivot;
mod planner;
pub(crate) mod report;
pub(crate) mod reproduction;
mod row;
mod speed;
mod unit;

pub use self::collect::{Collection, Together};
pub use self::compare::{Comparison, Difference};
pub use self::pivot::{Figure, Pivot};
pub use self::planner::{Choice, Network, Planner, Stated};
pub use self::report::Report;
pub use self::reproduction::{Agreeing, OtherPlugin, Reproduction};
pub use self::row::Row;
pub use self::speed::SpeedRow;
pub(crate) use self::unit::Unit;
