//! The library as a sheet, in the shape of the input: what is written here and read again
//! unedited asks for what is already so.

mod columns;
mod sheet;

pub use columns::{Column, Columns, UnknownColumn};
pub use sheet::{Exported, Sheet};
