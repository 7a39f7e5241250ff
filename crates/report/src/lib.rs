//! Records to things people read: tables for a terminal, Markdown, LaTeX and CSV, pictures for papers, a
//! page with charts, and the paired differences of two cells.
//!
//! [`Report::from_records`] takes the records of one protocol and refuses to mix protocols. What
//! it renders are strings; whoever calls decides where they go.

mod collect;
mod csv;
mod error;
mod format;
mod markdown;
mod page;
mod palette;
mod pareto;
mod report;
mod row;
mod table;

pub use collect::{Collection, Together};
pub use error::ReportError;
pub use page::Page;
pub use report::Report;
pub use row::Row;
pub use table::TableStyle;
