//! What people and programs read of a run: tables, pictures, the page and comparisons.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "report/figures.rs"]
mod figures;
#[path = "report/kinds.rs"]
mod kinds;
#[path = "report/models.rs"]
mod models;
#[path = "report/other.rs"]
mod other;
#[path = "report/outside.rs"]
mod outside;
#[path = "report/page.rs"]
mod page;
#[path = "report/reproduction.rs"]
mod reproduction;
