//! Records to things people read: tables for a terminal, Markdown, LaTeX and CSV, pictures for papers, a
//! page with charts, and the paired differences of two cells.
//!
//! [`Report::from_records`] takes the records of one protocol and refuses to mix protocols. What
//! it renders are strings; whoever calls decides where they go.

mod error;
mod figures;
mod import;
mod page;
mod picture;
mod text;

pub use error::ReportError;
pub use figures::{
    Agreeing, Choice, Collection, Comparison, Difference, Figure, Network, OtherPlugin, Pivot,
    Planner, Report, Reproduction, Row, SpeedRow, Stated, Together,
};
pub use import::import;
pub use page::{Page, serve};
pub use picture::{Heatmap, Picture, XAxis, YAxis};
pub use text::{TableStyle, lines, plain, prose, verbatim, watch};
