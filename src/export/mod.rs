//! Exports the library as a sheet that can be edited and applied. Applied unedited, every row is up
//! to date.

mod columns;
#[cfg(test)]
mod laws;
mod read_only;
mod sheet;

pub use columns::ColumnError;
pub(crate) use columns::Columns;
pub use sheet::Exported;
pub(crate) use sheet::SheetWriter;
