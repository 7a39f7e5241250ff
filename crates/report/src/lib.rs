//! Records to things people read: a terminal table, a Markdown table, `summary.csv`, and a picture
//! of bits per value against lost perplexity.
//!
//! [`Report::from_records`] takes the records of one protocol and refuses to mix protocols. What
//! it renders are strings; whoever calls decides where they go.

mod csv;
mod error;
mod format;
mod markdown;
mod pareto;
mod report;
mod row;
mod table;

pub use error::ReportError;
pub use report::Report;
pub use row::Row;
pub use table::TableStyle;
