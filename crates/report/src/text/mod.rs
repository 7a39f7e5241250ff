//! Figures as text: for a terminal, a README, a paper, a spreadsheet or a program.

mod csv;
pub(crate) mod format;
mod json;
mod latex;
mod lines;
mod markdown;
mod reproduction;
pub(crate) mod safe;
mod speed;
mod table;
mod watch;

pub(crate) use self::csv::text as csv_text;
pub use self::lines::lines;
pub(crate) use self::markdown::escape as escape_markdown;
pub use self::safe::{plain, prose, verbatim};
pub use self::table::TableStyle;
pub use self::watch::watch;
