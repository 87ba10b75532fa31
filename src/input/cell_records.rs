//! Records of cells, from text or from a worksheet.

use csv::ByteRecord;

use super::csv_records::CsvRecords;
use super::structure::Damage;
use super::worksheet_records::WorksheetRecords;
use super::{Delimiter, Input, InputError};
use crate::row::RowPos;

/// A reader of records of cells.
pub(super) enum CellRecords {
    Text(CsvRecords),
    Worksheet(WorksheetRecords),
}

impl CellRecords {
    /// Opens the input and reads its header; continues at `from`, if given.
    pub(super) fn open(input: &Input, from: Option<RowPos>) -> Result<Self, InputError> {
        Ok(if input.format.is_workbook() {
            Self::Worksheet(WorksheetRecords::open(input, from)?)
        } else {
            Self::Text(CsvRecords::open(input, from)?)
        })
    }

    /// The header.
    pub(super) fn header(&self) -> &ByteRecord {
        match self {
            Self::Text(records) => records.header(),
            Self::Worksheet(records) => records.header(),
        }
    }

    /// The current record.
    pub(super) fn record(&self) -> &ByteRecord {
        match self {
            Self::Text(records) => records.record(),
            Self::Worksheet(records) => records.record(),
        }
    }

    /// The damage to the current record.
    pub(super) fn damage(&self) -> Option<&Damage> {
        match self {
            Self::Text(records) => records.damage(),
            Self::Worksheet(records) => records.damage(),
        }
    }

    /// The current record as written, if its quotes are damaged.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(records) => records.text(),
            Self::Worksheet(_) => None,
        }
    }

    /// The delimiter of the cells; the usual one for a worksheet.
    pub(super) fn delimiter(&self) -> Delimiter {
        match self {
            Self::Text(records) => records.delimiter(),
            Self::Worksheet(_) => Delimiter::default(),
        }
    }

    /// The worksheet that is read.
    pub(super) fn worksheet(&self) -> Option<&WorksheetRecords> {
        match self {
            Self::Text(_) => None,
            Self::Worksheet(records) => Some(records),
        }
    }

    /// Reads the next record; `None` at the end. Truncated input is an error.
    pub(super) fn advance(&mut self) -> Result<Option<RowPos>, InputError> {
        match self {
            Self::Text(records) => records.advance(),
            Self::Worksheet(records) => records.advance(),
        }
    }
}
