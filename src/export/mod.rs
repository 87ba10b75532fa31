//! Exports the library as a sheet that can be edited and applied. Applied unedited, every row is up
//! to date.

mod columns;
mod sheet;

pub use columns::{Column, Columns, UnknownColumn};
pub use sheet::{Exported, Sheet};
