//! Findings: what is wrong in a column as a whole, before anything is sent.
//!
//! A single cell such as `red;blue` can be meant that way; a column in which every cell has `;` and
//! none a comma is not. [`FindingCounts`] counts what cells show, in one pass and with bounded memory;
//! [`Finding`] has the kinds, each with a fixed [`Severity`]. Rows of a finding that is held are
//! rejected one by one, because [`Finding::is_in`] needs only the cell.

mod accents;
mod columns;
mod finding;
mod glance;
mod text;

pub use columns::ColumnFinding;
pub(crate) use columns::FindingCounts;
pub(crate) use finding::CellKind;
pub use finding::{Finding, Severity};
pub(crate) use text::begins_lookup;
pub(crate) use text::composed;
pub(crate) use text::ends_entity;
pub(crate) use text::is_not_available;
pub(crate) use text::is_number_separator;
pub(crate) use text::{has_invisible_character, has_lost_accents, has_lost_zeros, is_rounded};
