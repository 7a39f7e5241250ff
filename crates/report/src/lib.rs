//! Records to things people read: tables for a terminal, Markdown, LaTeX and CSV, pictures for papers, a
//! page with charts, and the paired differences of two cells.
//!
//! [`Report::from_records`] takes the records of one protocol and refuses to mix protocols. What
//! it renders are strings; whoever calls decides where they go.

mod collect;
mod compare;
mod csv;
mod error;
mod format;
mod heatmap;
mod import;
mod json;
mod latex;
mod markdown;
mod page;
mod palette;
mod pareto;
mod pivot;
mod planner;
mod report;
mod row;
mod serve;
mod speed;
mod table;
mod unit;
mod watch;

pub use collect::{Collection, Together};
pub use compare::{Comparison, Difference};
pub use error::ReportError;
pub use heatmap::Heatmap;
pub use import::import;
pub use page::Page;
pub use pareto::{Picture, XAxis, YAxis};
pub use pivot::{Figure, Pivot};
pub use planner::{Choice, Network, Planner, Stated};
pub use report::Report;
pub use row::Row;
pub use serve::serve;
pub use speed::SpeedRow;
pub use table::TableStyle;
pub use watch::watch;
