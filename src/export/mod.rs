//! Exports the library as a sheet that can be edited and applied. Applied unedited, every row is up
//! to date.

mod columns;
#[cfg(test)]
mod laws;
mod read_only;
mod sheet;

pub use columns::{Column, ColumnError, Columns};
pub use read_only::ReadOnly;
pub use sheet::{Exported, SheetWriter};
