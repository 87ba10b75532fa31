//! Exports the library as a sheet that can be edited and applied. Applied unedited, every row is up
//! to date.

mod columns;
mod sheet;

pub use columns::{Column, ColumnError, Columns};
pub use sheet::{Exported, SheetWriter};
