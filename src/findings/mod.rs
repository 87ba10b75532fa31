//! Findings: what is wrong in a column as a whole, before anything is sent.
//!
//! A single cell such as `red;blue` can be meant that way; a column in which every cell has `;` and
//! none a comma is not. [`FindingCounts`] counts what cells show, in one pass and with bounded memory;
//! [`Finding`] has the kinds, each with a fixed [`Severity`]. Rows of a finding that is held are
//! rejected one by one, because [`Finding::is_in`] needs only the cell.

mod accents;
mod columns;
mod dates;
mod finding;
mod glance;
mod lists;
mod markup;
mod numbers;
mod text;
mod utf8_words;

pub use columns::ColumnFinding;
pub(crate) use columns::FindingCounts;
pub(crate) use finding::CellKind;
pub use finding::{Finding, Severity};
pub(crate) use lists::begins_lookup;
pub(crate) use markup::ends_entity;
pub(crate) use numbers::{has_lost_zeros, is_number_separator, is_rounded};
pub(crate) use text::{composed, has_invisible_character, has_lost_accents, is_not_available};
