//! Reads CSV records with their positions, and finds damage to the structure of the sheet.

use csv::ByteRecord;

use super::names::{NO_ROW, known_columns};
use super::raw_records::{
    Before, LOOK_BACK_BYTES, Quoting, RawRecord, RawRecords, ReadFailure, before, split_line,
};
use super::structure::{
    Below, Damage, Structure, is_blank, is_end_mark, is_in_apostrophes, quote_damage, shown,
};
use super::{Delimiter, Input, InputError, ReadOptions};
use crate::row::RowPos;

/// Maximum records above the header that are searched for it.
const RECORDS_ABOVE_HEADER_MAX: usize = 20;
/// The first rows that show how many empty cells the rows have at their ends.
const ROWS_OF_USUAL_END: usize = 100;

/// How the rows of a sheet end.
#[derive(Debug, Clone, Copy)]
struct UsualEnd {
    /// The number of empty cells beyond the header.
    surplus: usize,
    /// Whether cells that contain the delimiter are quoted.
    quotes: bool,
    /// The number of cells directly after the last column with a name, if most rows have that many, and the
    /// others none: they are notes.
    notes: Option<usize>,
}

/// A reader of CSV records.
pub(super) struct CsvRecords {
    raw: RawRecords,
    input: Input,
    delimiter: Delimiter,
    header: ByteRecord,
    structure: Structure,
    below: Below,
    current: RawRecord,
    /// The record after the current one; `None` at the end. It tells whether the current one is whole.
    next: Option<RawRecord>,
    /// A record whose memory is used again.
    spare: RawRecord,
    damage: Option<Damage>,
    /// Offset of the first row.
    rows_offset: u64,
    /// How most rows end, once it is needed.
    usual_end: Option<UsualEnd>,
    /// The number of cells beyond the header of the record before the next one; 0 if it tells nothing.
    surplus_before: usize,
    /// The line of the record that the next one continues.
    continued_line: Option<u64>,
    next_number: u64,
}

impl CsvRecords {
    /// Opens the file and reads its header; continues at `from`, if given.
    pub(super) fn open(input: &Input, from: Option<RowPos>) -> Result<Self, InputError> {
        let delimiter = find_delimiter(input)?;
        let mut records = Self {
            raw: RawRecords::new(input.open_file()?, delimiter.byte()),
            input: input.clone(),
            delimiter,
            header: ByteRecord::new(),
            structure: Structure::default(),
            below: Below::default(),
            current: RawRecord::default(),
            next: None,
            spare: RawRecord::default(),
            damage: None,
            rows_offset: 0,
            usual_end: None,
            surplus_before: 0,
            continued_line: None,
            // The header is row 1, as spreadsheet programs show it.
            next_number: 1,
        };
        records.read_header()?;
        records.read_next()?;
        records.check_end_of_header()?;
        if let Some(first) = &records.next {
            records.rows_offset = first.offset;
            records.structure.learn_shape(&first.cells);
            let below = records.structure.below(&mut input.open_file()?, delimiter);
            records.below = below.map_err(|source| input.unreadable(source))?;
        }
        if let Some(pos) = from {
            records.seek(pos)?;
            records.read_next()?;
            records.look_back()?;
        }
        Ok(records)
    }

    /// Reads the header, after a line `sep=` that sets the delimiter for Excel.
    fn read_header(&mut self) -> Result<(), InputError> {
        self.read_next()?;
        if let Some(first) = &self.next
            && separator_line(&first.cells, self.delimiter).is_some()
        {
            // Excel does not show the line: row 1 is the header.
            self.read_next()?;
            self.next_number = 1;
        }
        let Some(first) = self.next.take() else { return Ok(()) };
        self.next_number += first.blank_lines;
        let position = self.position(&first);
        if first.quoting == Quoting::Open {
            return Err(damaged_end(position, "a quote is not closed", &first.cells));
        }
        // JSON is named as such when the columns are read.
        let is_json =
            first.cells.get(0).is_some_and(|cell| cell.starts_with(b"{") || cell.starts_with(b"["));
        let options = &self.input.options;
        if let Some(damage) = quote_damage(first.quoting).filter(|_| !is_json) {
            let why = split_by_blanks(&first.text, options)
                .unwrap_or_else(|| damage.problem(&ByteRecord::new(), &first.cells).to_string());
            return Err(InputError::Header { why });
        }
        if let Some(why) = damage_to_header(&first, options) {
            return Err(InputError::Header { why });
        }
        self.header = first.cells;
        self.next_number += 1;
        self.structure = Structure::new(&self.header, options);
        if self.structure.names_no_file() && !is_blank(&self.header) {
            self.find_header_below(first.line)?;
        }
        Ok(())
    }

    /// Fails if the header, and so the rows, end with other delimiters: a spreadsheet program with another
    /// delimiter has saved the sheet again.
    fn check_end_of_header(&self) -> Result<(), InputError> {
        let last = |cells: &ByteRecord| {
            let cell = cells.iter().rfind(|cell| !cell.trim_ascii().is_empty())?;
            let mark = *cell.last()?;
            let others = || Delimiter::DETECTED.into_iter().filter(|it| *it != self.delimiter);
            let other = others().find(|other| other.byte() == mark)?;
            let run = cell.iter().rev().take_while(|byte| **byte == mark).count();
            Some((other, run))
        };
        let Some((other, run)) = last(&self.header) else { return Ok(()) };
        let is_in_row = || {
            let of_row = self.next.as_ref().and_then(|first| last(&first.cells));
            of_row.is_some_and(|(mark, _)| mark == other)
        };
        if run < 2 && !is_in_row() {
            return Ok(());
        }
        let (other, delimiter) = (other.named(), self.delimiter.named());
        let why = format!(
            "its lines end with {other} and have {delimiter} between the names, as a spreadsheet program \
             with another delimiter saves them; delete what follows the last cell of each line, or export \
             the sheet again"
        );
        Err(InputError::Header { why })
    }

    /// Fails if the header is below the first line, which then is a title or comment.
    fn find_header_below(&mut self, first_line: u64) -> Result<(), InputError> {
        for _ in 0..RECORDS_ABOVE_HEADER_MAX {
            self.read_next()?;
            let Some(record) = self.next.take() else { break };
            let is_header = !Structure::new(&record.cells, &self.input.options).names_no_file();
            if is_header && known_columns(&record.cells, &self.input.options) > 1 {
                let (text, header_line) = (shown(&self.header), record.line);
                return Err(InputError::AboveHeader { line: first_line, text, header_line });
            }
        }
        Ok(())
    }

    /// A reader without the fast check of usual rows.
    #[cfg(test)]
    pub(super) fn without_usual_rows(mut self) -> Self {
        self.structure.forget_usual_rows();
        self
    }

    /// The header, without cells at its end that no column has.
    pub(super) fn header(&self) -> &ByteRecord {
        &self.header
    }

    /// The delimiter of the cells.
    pub(super) fn delimiter(&self) -> Delimiter {
        self.delimiter
    }

    /// The current record.
    pub(super) fn record(&self) -> &ByteRecord {
        &self.current.cells
    }

    /// The damage to the current record.
    pub(super) fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// The current record as written, if its quotes are damaged.
    pub(super) fn text(&self) -> Option<&[u8]> {
        let is_damaged = matches!(self.current.quoting, Quoting::Misplaced { .. });
        is_damaged.then_some(&*self.current.text)
    }

    /// Reads the next record; `None` at the end. Truncated input is an error.
    pub(super) fn advance(&mut self) -> Result<Option<RowPos>, InputError> {
        let Some(next) = self.next.take() else { return Ok(None) };
        self.spare = std::mem::replace(&mut self.current, next);
        let surplus = self.structure.surplus(&self.current.cells);
        if let Some(cells) = self.structure.realigned(&self.current.cells) {
            self.current.cells = cells;
        }
        self.next_number += self.current.blank_lines;
        let pos = self.position(&self.current);
        self.check_quotes(pos)?;
        self.next_number += 1;
        self.read_next()?;
        let told = self.told(surplus);
        let surplus_before = std::mem::replace(&mut self.surplus_before, told);
        self.damage = self.find_damage(pos, surplus_before)?;
        Ok(Some(pos))
    }

    /// The number of cells beyond the header of the current record, if looking back from the next one would
    /// tell it; else 0.
    fn told(&self, surplus: usize) -> usize {
        let Some(next) = self.next.as_ref().filter(|_| surplus > 0) else { return 0 };
        let is_near = next.offset - self.current.offset < LOOK_BACK_BYTES;
        let is_line = self.current.is_plain_line() && self.current.quoting == Quoting::Balanced;
        if is_near && is_line { surplus } else { 0 }
    }

    /// Continues at a row.
    fn seek(&mut self, to: RowPos) -> Result<(), InputError> {
        self.raw.seek(to.offset, to.line).map_err(|source| self.input.unreadable(source))?;
        self.next_number = to.number;
        Ok(())
    }

    /// Finds out what the records before the next one, at which reading continues, say about it:
    /// whether blank lines precede it, and whether it is the rest of the one before.
    fn look_back(&mut self) -> Result<(), InputError> {
        let Some(next) = &mut self.next else { return Ok(()) };
        let mut file = self.input.open_file()?;
        let before = before(&mut file, next.offset, self.delimiter.byte());
        let Before { record, line_ends } =
            before.map_err(|source| self.input.unreadable(source))?;
        // They were counted for the number of the row.
        next.blank_lines = line_ends.saturating_sub(1);
        self.next_number -= next.blank_lines;
        let line_before = next.line.saturating_sub(line_ends);
        self.surplus_before = record.as_ref().map_or(0, |record| self.structure.surplus(record));
        if let (Some(record), Some(next)) = (record, &self.next)
            && self.continues(&record, next)
        {
            self.continued_line = Some(line_before);
        }
        Ok(())
    }

    fn position(&self, record: &RawRecord) -> RowPos {
        RowPos { number: self.next_number, offset: record.offset, line: record.line }
    }

    fn read_next(&mut self) -> Result<(), InputError> {
        let mut record = std::mem::take(&mut self.spare);
        let offset = self.raw.offset();
        match self.raw.read(&mut record) {
            Ok(true) => self.next = Some(record),
            Ok(false) => self.next = None,
            Err(ReadFailure::Io(source)) => return Err(self.input.unreadable(source)),
            Err(ReadFailure::TooLong) => {
                let pos = RowPos { number: self.next_number, offset, line: self.raw.line() };
                return Err(InputError::TooLong { pos, why: "a quote is not closed" });
            }
        }
        Ok(())
    }

    /// Fails if a quote of the current record is not closed, so that it may contain other records.
    fn check_quotes(&self, pos: RowPos) -> Result<(), InputError> {
        match self.current.quoting {
            Quoting::Open => Err(damaged_end(pos, "a quote is not closed", &self.current.cells)),
            Quoting::Misplaced { has_lines: true, is_escaped, .. } => {
                Err(InputError::UnclosedQuote { pos, is_escaped })
            }
            Quoting::Misplaced { .. } | Quoting::Balanced => Ok(()),
        }
    }

    /// Finds the damage to the current record, which may end the input. `surplus_before` is the number of
    /// cells beyond the header of the record before.
    fn find_damage(
        &mut self,
        pos: RowPos,
        surplus_before: usize,
    ) -> Result<Option<Damage>, InputError> {
        let continued_line = self.continued_line.take();
        let (structure, cells) = (&self.structure, &self.current.cells);
        if continued_line.is_none() && self.are_usual_rows() {
            return Ok(self.swallows_row().then_some(Damage::Rows));
        }
        if is_blank(cells) {
            return Ok(None);
        }
        let unsplit = structure.unsplit(cells, &self.current.text, self.delimiter);
        if let Some(damage) = unsplit.or_else(|| quote_damage(self.current.quoting)) {
            return Ok(Some(damage));
        }
        if structure.is_in_apostrophes(cells) {
            return Ok(Some(Damage::Apostrophes));
        }
        if self.swallows_row() {
            return Ok(Some(Damage::Rows));
        }
        if structure.has_surplus(cells) && cells.iter().next_back() == Some(NO_ROW.as_bytes()) {
            return Ok(Some(Damage::Marked));
        }
        if let Some(damage) = structure.no_row(cells, pos)? {
            return Ok(Some(damage));
        }
        if is_end_mark(cells) || self.below.has(self.current.offset) {
            return Ok(Some(Damage::Footer));
        }
        if self.next.is_none() && structure.may_be_footer(cells) {
            if structure.is_footer(cells, self.current.blank_lines > 0) {
                return Ok(Some(Damage::Footer));
            }
            if structure.is_short(cells) && !self.current.has_line_end {
                return Err(damaged_end(pos, "it has fewer cells than the header", cells));
            }
        }
        if let Some(next) = &self.next
            && next.offset - self.current.offset < LOOK_BACK_BYTES
            && self.continues(cells, next)
            && self.current.is_plain_line()
        {
            self.continued_line = Some(pos.line);
            if continued_line.is_none() {
                let may_be_below = self.below.may_have(next.offset);
                return Ok(Some(Damage::CutOff { continues_in: next.line, may_be_below }));
            }
        }
        if let Some(line) = continued_line {
            let may_be_below = self.below.may_have(self.current.offset);
            return Ok(Some(Damage::RestOf { line, may_be_below }));
        }
        self.find_moved_cells(surplus_before)
    }

    /// Whether a line in a cell of the current record is a row.
    fn swallows_row(&self) -> bool {
        self.current.has_lines()
            && self.structure.swallows_row(&self.current.cells, self.delimiter.byte())
    }

    /// Whether the current record and the one after it are rows like most, and the quotes of the current one
    /// are in place.
    fn are_usual_rows(&self) -> bool {
        let is_usual = |record: &RawRecord| self.structure.is_usual_row(&record.cells);
        self.current.quoting == Quoting::Balanced
            && is_usual(&self.current)
            && self.next.as_ref().is_some_and(is_usual)
    }

    /// Finds out whether cells of the current record are in other columns than their own.
    fn find_moved_cells(&mut self, surplus_before: usize) -> Result<Option<Damage>, InputError> {
        let (structure, cells) = (&self.structure, &self.current.cells);
        if structure.has_surplus(cells) {
            let has_number = structure.has_row_number(cells);
            return Ok(Some(if has_number { Damage::RowNumber } else { Damage::Surplus }));
        }
        if structure.has_moved_status(cells) {
            return Ok(Some(Damage::MovedStatus));
        }
        if structure.cells_beyond_names(cells) > 0 && self.is_split_beyond_names()? {
            return Ok(Some(Damage::UnnamedColumn));
        }
        let (structure, cells) = (&self.structure, &self.current.cells);
        if structure.surplus(cells) > 0
            && structure.may_be_split(cells)
            && !self.is_whole(surplus_before)?
        {
            return Ok(Some(Damage::EmptySurplus));
        }
        Ok(None)
    }

    /// Whether the cells of the current record in columns without a name are the rest of a split cell,
    /// rather than notes.
    fn is_split_beyond_names(&mut self) -> Result<bool, InputError> {
        let (structure, cells) = (&self.structure, &self.current.cells);
        if structure.is_rest_beyond_names(cells) {
            return Ok(true);
        }
        if let Some(was_found) = structure.was_found_beyond_names(cells) {
            return Ok(was_found);
        }
        let beyond_names = structure.cells_beyond_names(cells);
        Ok(self.usual_end()?.notes != Some(beyond_names))
    }

    /// Whether the empty cells beyond the header are at the end of the current record, rather than those of
    /// a cell that is not quoted.
    fn is_whole(&mut self, surplus_before: usize) -> Result<bool, InputError> {
        let usual = self.usual_end()?;
        let delimiter = self.delimiter.byte();
        let (structure, cells) = (&self.structure, &self.current.cells);
        let surplus = structure.surplus(cells);
        // Excel decides about the ends of 16 rows at a time.
        let is_same = |other: usize| other == surplus;
        let next = self.next.as_ref().map(|next| structure.surplus(&next.cells));
        let is_in_block = is_same(surplus_before) || next.is_some_and(is_same);
        Ok(surplus <= usual.surplus
            || structure.quotes(cells, delimiter)
            || usual.quotes && is_in_block)
    }

    /// How most of the first rows end.
    fn usual_end(&mut self) -> Result<UsualEnd, InputError> {
        if let Some(usual) = self.usual_end {
            return Ok(usual);
        }
        let usual = self.find_usual_end()?;
        self.usual_end = Some(usual);
        Ok(usual)
    }

    fn find_usual_end(&self) -> Result<UsualEnd, InputError> {
        let delimiter = self.delimiter.byte();
        let mut raw = RawRecords::new(self.input.open_file()?, delimiter);
        let mut record = RawRecord::default();
        let (mut surpluses, mut quotes) = (Vec::new(), false);
        let mut beyond_names = Vec::new();
        raw.seek(self.rows_offset, 0).map_err(|source| self.input.unreadable(source))?;
        // What cannot be read is reported when it is read for its content.
        while surpluses.len() < ROWS_OF_USUAL_END && matches!(raw.read(&mut record), Ok(true)) {
            let cells = &record.cells;
            if !is_blank(cells) {
                surpluses.push(self.structure.surplus(cells));
                quotes |= self.structure.quotes(cells, delimiter);
                beyond_names.push(self.structure.cells_beyond_names(cells));
            }
        }
        let rows = surpluses.len();
        surpluses.sort_unstable();
        let surplus = surpluses.get(rows.saturating_sub(1) / 2).copied().unwrap_or_default();
        beyond_names.retain(|count| *count > 0);
        let is_same = beyond_names.windows(2).all(|pair| pair.first() == pair.last());
        let notes = beyond_names.first().filter(|_| is_same && beyond_names.len() * 2 > rows);
        Ok(UsualEnd { surplus, quotes, notes: notes.copied() })
    }

    /// Whether a line end outside quotes separates the record from the next.
    fn continues(&self, cells: &ByteRecord, next: &RawRecord) -> bool {
        let structure = &self.structure;
        let is_row = |cells| {
            !Structure::is_dashes(cells)
                && !Structure::is_comment(cells)
                && !is_end_mark(cells)
                && !structure.is_in_apostrophes(cells)
                && structure.unsplit(cells, &[], self.delimiter).is_none()
                && matches!(structure.repeats_header(cells, RowPos::default()), Ok(false))
        };
        // Half a row and a line below the rows can only be told apart at the end.
        let is_footer = || {
            self.below.has(next.offset)
                || self.raw.is_at_end() && structure.is_footer(&next.cells, next.blank_lines > 0)
        };
        // A heading stands apart from the rows.
        let is_apart = next.blank_lines > 0 && !structure.is_short(&next.cells);
        next.quoting == Quoting::Balanced
            && !is_apart
            && structure.continues(cells, &next.cells)
            && is_row(cells)
            && is_row(&next.cells)
            && !is_footer()
    }
}

fn damaged_end(pos: RowPos, why: &'static str, cells: &ByteRecord) -> InputError {
    InputError::DamagedEnd { pos, why, text: shown(cells) }
}

/// What is wrong with the quotes of a header, and the fix; `None` for nothing.
fn damage_to_header(header: &RawRecord, options: &ReadOptions) -> Option<String> {
    let mut filled = header.cells.iter().filter(|cell| !cell.trim_ascii().is_empty()).peekable();
    if filled.peek().is_some() && filled.all(is_in_apostrophes) {
        let why = "the names of the columns are in apostrophes, which do not quote in CSV; export the \
                   sheet again with \" around cells";
        return Some(why.to_owned());
    }
    if !header.is_quoted || !Structure::new(&header.cells, options).names_no_file() {
        return None;
    }
    let is_line = |cell: &&[u8]| {
        let lines = Delimiter::DETECTED.into_iter().filter_map(|it| split_line(cell, it.byte()));
        let mut headers = lines.filter(|cells| cells.len() > 1);
        headers.any(|cells| !Structure::new(&cells, options).names_no_file())
    };
    let line = header.cells.iter().find(is_line)?;
    Some(format!(
        "quotes are around the whole line {:?}, so that it is one cell; export the sheet again without \
         quotes around lines",
        String::from_utf8_lossy(line)
    ))
}

/// Why a header with quotes is damaged, if blanks are between its names.
fn split_by_blanks(text: &[u8], options: &ReadOptions) -> Option<String> {
    let cells = split_line(text, b' ')?;
    let is_header = !Structure::new(&cells, options).names_no_file();
    is_header.then(|| {
        "blanks are between the names of the columns; pass --delimiter ' ', or export the sheet again with \
         commas"
            .to_owned()
    })
}

/// The delimiter in a first line `sep=;`, split by `delimiter`.
fn separator_line(cells: &ByteRecord, delimiter: Delimiter) -> Option<Delimiter> {
    let first = std::str::from_utf8(cells.get(0)?).ok()?.trim();
    let separator = first.get(..4).filter(|key| key.eq_ignore_ascii_case("sep="))?;
    match (first.get(separator.len()..)?, cells.len()) {
        ("", 2) if cells.get(1).is_some_and(<[u8]>::is_empty) => Some(delimiter),
        (other, 1) => other.parse().ok(),
        _ => None,
    }
}

/// The delimiter that the options or a line `sep=` set, or else the one under which the header has
/// the most known columns; if it has none, the one under which it has the most columns.
fn find_delimiter(input: &Input) -> Result<Delimiter, InputError> {
    if let Some(delimiter) = input.options.delimiter {
        return Ok(delimiter);
    }
    // The first line is the header of nearly every sheet; above others are titles.
    for records_max in [1, RECORDS_ABOVE_HEADER_MAX] {
        let mut best = (0, Delimiter::default());
        for delimiter in Delimiter::DETECTED {
            let known = most_known_columns(input, delimiter, records_max)?;
            if let Known::Separator(separator) = known {
                return Ok(separator);
            }
            if let Known::Columns(known) = known
                && known > best.0
            {
                best = (known, delimiter);
            }
        }
        if best.0 > 0 {
            return Ok(best.1);
        }
    }
    // The sheet is refused, and the message names the columns.
    let mut best = (1, Delimiter::default());
    for delimiter in Delimiter::DETECTED {
        let mut raw = RawRecords::new(input.open_file()?, delimiter.byte());
        let mut record = RawRecord::default();
        if matches!(raw.read(&mut record), Ok(true)) && record.cells.len() > best.0 {
            best = (record.cells.len(), delimiter);
        }
    }
    Ok(best.1)
}

/// What the first records say about the delimiter.
enum Known {
    /// A line `sep=` names it.
    Separator(Delimiter),
    /// The most known columns that a record has.
    Columns(usize),
}

fn most_known_columns(
    input: &Input,
    delimiter: Delimiter,
    records_max: usize,
) -> Result<Known, InputError> {
    let mut raw = RawRecords::new(input.open_file()?, delimiter.byte());
    let mut record = RawRecord::default();
    let mut most = 0;
    for _ in 0..records_max {
        // What cannot be read is reported when it is read for its content.
        if !matches!(raw.read(&mut record), Ok(true)) {
            break;
        }
        if let Some(separator) = separator_line(&record.cells, delimiter) {
            return Ok(Known::Separator(separator));
        }
        most = most.max(known_columns(&record.cells, &input.options));
    }
    Ok(Known::Columns(most))
}
