//! The preview before a run.

use ikbulk::engine::{
    ColumnCounts, ColumnFinding, Counters, Disagreement, Duplicates, LostTags, PlanSummary,
    Preview, Rate, ReadStats, Resolution, SkippedExtensions, Target,
};
use ikbulk::internals::{Identity, ReadStrategy, plural, thousands};

use super::duration::duration;
use super::layout::Layout;

/// Maximum findings.
const FINDINGS_SHOWN_MAX: usize = 12;
/// Maximum columns with counts.
const COLUMNS_SHOWN_MAX: usize = 12;
/// Maximum lost tags by name.
const LOST_TAGS_SHOWN_MAX: usize = 6;
/// Maximum fields of an example.
const EXAMPLE_FIELDS_MAX: usize = 4;

/// How much a preview shows.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct PreviewStyle {
    /// Whether to show the first changes.
    pub(in crate::cli) with_examples: bool,
    /// Whether to show the first requests as JSON.
    pub(in crate::cli) with_requests: bool,
    /// Maximum characters per line.
    pub(in crate::cli) width: usize,
}

/// Renders the preview of a run or, for `check`, the content of a sheet.
pub(in crate::cli) fn render_plan(view: &Preview<'_>, style: PreviewStyle) -> String {
    let mut lines = Layout::new(style.width);
    let summary = view.summary;
    lines.add_unwrapped("input", &input_name(view));
    if let Some(target) = &view.target {
        let sandbox = if target.sandbox { "  SANDBOX: nothing real is changed" } else { "" };
        let account = account_name(target.account, target.endpoint);
        lines.add("account", &format!("{account}{sandbox}"));
    }
    lines.add("rows", &rows(view));
    if view.is_refused {
        findings(&mut lines, summary);
        return lines.into_text();
    }
    if let Some(looked_up) = view.looked_up {
        lines.add("looked up", &lookup_result(looked_up));
    }
    if summary.unresolved > 0 {
        let (one, several) = ("row names its file", "rows name their file");
        let rows = plural(summary.unresolved, one, several);
        lines.add("to look up", &format!("{rows} by path or URL; `ikbulk apply` looks them up"));
    }
    if summary.changed_files > 0 {
        lines.add("files", &format!("{} to change", thousands(summary.changed_files)));
    }
    columns(&mut lines, summary);
    lost_tags(&mut lines, &summary.lost_tags);
    left_out(&mut lines, view);
    if let Some((reading, reads)) = view.reading.filter(|(reading, _)| reading.files > 0) {
        lines.add("read", &read_result(reading, reads));
    }
    lines.add("requests", &requests(summary));
    if let Some(target) = &view.target {
        duration_and_pilot(&mut lines, summary, target);
        charges(&mut lines, summary, target);
    }
    skipped_extensions(&mut lines, summary.skipped_extensions);
    disagreements(&mut lines, summary);
    if style.with_examples {
        examples(&mut lines, summary);
    }
    if style.with_requests {
        first_requests(&mut lines, summary);
    }
    findings(&mut lines, summary);
    let can_undo = view.target.as_ref().and_then(|target| target.can_undo);
    if let Some(can_undo) = can_undo.filter(|_| summary.writes > 0) {
        lines.add("undo", &undo_text(summary, can_undo));
    }
    lines.into_text()
}

/// What the sheet holds and no request carries.
fn left_out(lines: &mut Layout, view: &Preview<'_>) {
    // Of a run, the cells of all rows were counted, not of those that are left.
    if view.empty_cells > 0 && view.rows_of_run.is_none() {
        let (one, several) = ("empty cell (field unchanged)", "empty cells (fields unchanged)");
        lines.add("skipped", &plural(view.empty_cells, one, several));
    }
    if !view.ignored_columns.is_empty() {
        lines.add("ignored", &ignored(view.ignored_columns));
    }
    if view.summary.idle_webhooks > 0 {
        let (one, several) = ("row without extensions", "rows without extensions");
        let rows = plural(view.summary.idle_webhooks, one, several);
        lines.add("ignored", &format!("webhookUrl of {rows}: it receives only their status"));
    }
}

/// The input, with its worksheet if it is a workbook.
pub(super) fn input_name(view: &Preview<'_>) -> String {
    let worksheet = view.worksheet.map(|name| format!(", worksheet {name:?}"));
    format!("{}{}", view.input, worksheet.unwrap_or_default())
}

/// The account by the name in its files' URLs, and by its key.
pub(super) fn account_name(account: &Identity, endpoint: &str) -> String {
    let name = account.name.as_ref().map(|name| format!("{name}  ")).unwrap_or_default();
    format!("{name}key {}  {endpoint}", account.key)
}

fn rows(view: &Preview<'_>) -> String {
    let summary = view.summary;
    let settled = summary.rejected
        + summary.missing
        + summary.up_to_date
        + summary.superseded
        + summary.already_ran
        + summary.without_change
        + summary.done_before;
    let to_change = thousands(summary.rows.saturating_sub(settled));
    let percent = summary.rejected_share() * 100.0;
    let is_compared = view.target.is_some() && !view.is_refused;
    let counts = [
        (summary.rejected, format!("{} invalid ({percent:.1}%)", thousands(summary.rejected))),
        (summary.missing, plural(summary.missing, "file not found", "files not found")),
        (summary.up_to_date, format!("{} up to date", thousands(summary.up_to_date))),
        (summary.superseded, format!("{} superseded by later rows", thousands(summary.superseded))),
        (
            summary.already_ran,
            format!("{} whose extensions already ran", thousands(summary.already_ran)),
        ),
        (summary.without_change, format!("{} without values", thousands(summary.without_change))),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(_, text)| text).collect();
    let pilot_of = view.target.as_ref().and_then(|target| target.pilot_of);
    let all = match (view.rows_of_run, pilot_of) {
        (Some(all), _) => {
            let left = thousands(summary.rows - summary.done_before);
            format!("{left} left of {}", thousands(all))
        }
        (None, Some(all)) => {
            format!("the first {} of {}, as a pilot", thousands(summary.rows), thousands(all.rows))
        }
        (None, None) => thousands(summary.rows),
    };
    if counts.is_empty() {
        return all;
    }
    let good = if is_compared { "to change" } else { "with changes" };
    format!("{all}: {to_change} {good}, {}", counts.join(", "))
}

/// The columns that are not read, of which those without a name are one phrase.
fn ignored(columns: &[String]) -> String {
    let is_phrase = |column: &String| column.ends_with(" without a name");
    let noun = match columns {
        [only] if is_phrase(only) => "",
        [_] => "column ",
        [..] => "columns ",
    };
    format!("{noun}{}", columns.join(", "))
}

/// Adds one line per column with the number of files to set and to clear.
fn columns(lines: &mut Layout, summary: &PlanSummary) {
    let columns = || summary.columns.iter().take(COLUMNS_SHOWN_MAX);
    let width = columns().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (index, (name, ColumnCounts { set, cleared })) in columns().enumerate() {
        let verb = match name {
            "addTags" => "added to",
            "removeTags" | "removeAITags" => "removed from",
            "extensions" => "run on",
            _ => "set on",
        };
        let files = |count: u64| plural(count, "file", "files");
        let set = (set > 0).then(|| format!("{verb} {}", files(set)));
        let cleared = (cleared > 0).then(|| format!("cleared on {}", files(cleared)));
        let counts: Vec<String> = [set, cleared].into_iter().flatten().collect();
        let label = if index == 0 { "columns" } else { "" };
        lines.add(label, &format!("{name:<width$}  {}", counts.join(", ")));
    }
    let more = summary.columns.count().saturating_sub(COLUMNS_SHOWN_MAX);
    if more > 0 {
        lines.add("", &format!("and {}", plural(more as u64, "more column", "more columns")));
    }
}

fn lost_tags(lines: &mut Layout, lost: &LostTags) {
    if lost.files == 0 {
        return;
    }
    let (one, several) = ("file loses tags that it has now", "files lose tags that they have now");
    let tags = lost.most_frequent();
    let named = tags.iter().take(LOST_TAGS_SHOWN_MAX);
    let named: Vec<String> =
        named.map(|(tag, count)| format!("{tag} ({})", thousands(*count))).collect();
    let more = if tags.len() > named.len() || lost.others > 0 { ", …" } else { "" };
    lines.add(
        "lost tags",
        &format!(
            "{}: {}{more}; to add only, use the column addTags",
            plural(lost.files, one, several),
            named.join(", ")
        ),
    );
}

/// How the files were read, and in how many requests.
fn read_result(reading: ReadStats, reads: u64) -> String {
    let how = match reading.strategy {
        ReadStrategy::OneByOne => "one by one",
        ReadStrategy::ByIds => "up to 100 per request",
        ReadStrategy::Library { .. } => "by listing the library",
    };
    let mut text = format!(
        "{} in {}, {how}",
        plural(reading.files, "file", "files"),
        plural(reads, "request", "requests")
    );
    if reading.stale > 0 {
        let stale = plural(reading.stale, "file was", "files were");
        text.push_str(&format!("; {stale} stale in the listing, so each was read by itself"));
    } else if reading.reread > 0 {
        text.push_str(&format!(
            "; {} re-read to verify the listing",
            plural(reading.reread, "file", "files")
        ));
    }
    text
}

fn lookup_result(looked_up: &Resolution) -> String {
    let Resolution { files, reads } = looked_up;
    format!(
        "{} in {}; {} found and confirmed by id",
        plural(files.count() as u64, "path or URL", "paths and URLs"),
        plural(*reads, "request", "requests"),
        thousands(files.found() as u64)
    )
}

fn requests(summary: &PlanSummary) -> String {
    let Counters { patch, publish, add_tags, remove_tags, remove_ai_tags, .. } = summary.by_kind;
    let kinds = [
        (patch, "PATCH"),
        (publish, "publish"),
        (add_tags, "addTags"),
        (remove_tags, "removeTags"),
        (remove_ai_tags, "removeAITags"),
    ];
    let kinds = kinds.iter().filter(|(count, _)| *count > 0);
    let kinds: Vec<String> =
        kinds.map(|(count, name)| format!("{} {name}", thousands(*count))).collect();
    let up_to = if summary.unresolved > 0 { "up to " } else { "" };
    let mut writes = format!("{up_to}{}", plural(summary.writes, "write", "writes"));
    if kinds.len() > 1 {
        writes.push_str(&format!(" ({})", kinds.join(", ")));
    }
    match summary.reads {
        0 => writes,
        reads => {
            let reads = plural(reads, "read", "reads");
            format!("{writes}, {reads} (snapshots before billed or publish requests)")
        }
    }
}

/// Adds the duration of the run, and the rest after a pilot.
fn duration_and_pilot(lines: &mut Layout, summary: &PlanSummary, target: &Target<'_>) {
    if let Some(time) = estimated_time(summary, target) {
        lines.add("time", &time);
    }
    if let Some(all) = target.pilot_of.filter(|all| all.rows > summary.rows) {
        let rest = plural(all.rows - summary.rows, "other row", "other rows");
        let invalid = all.invalid.saturating_sub(summary.rejected);
        let invalid = match invalid {
            0 => String::new(),
            some => format!("; {} of them invalid", thousands(some)),
        };
        lines.add("pilot", &format!("`ikbulk resume` sends the {rest}{invalid}"));
    }
}

/// The duration of the writes at the rate limit, and their end; `None` without a limit.
fn estimated_time(summary: &PlanSummary, target: &Target<'_>) -> Option<String> {
    let limit = target.execution.writes;
    let Rate::PerSecond(rate) = limit.rate else {
        return None;
    };
    let rate = rate * (1.0 - limit.leave);
    if summary.writes == 0 {
        return None;
    }
    let seconds = limit.time_for(summary.writes)?;
    let span = jiff::SignedDuration::try_from(seconds).ok()?;
    let finish = target.now.checked_add(span).ok()?;
    let day = if finish.date() == target.now.date() { "%H:%M %Z" } else { "%Y-%m-%d %H:%M %Z" };
    Some(format!(
        "{} at {rate:.1} writes/s, until about {}",
        duration(seconds),
        finish.strftime(day)
    ))
}

fn charges(lines: &mut Layout, summary: &PlanSummary, target: &Target<'_>) {
    if summary.extension_runs.is_empty() {
        return;
    }
    let runs = summary.extension_runs.iter().map(|(name, runs)| {
        let units = match target.spending.prices.units(name, runs) {
            Some(units) => plural(units, "unit", "units"),
            None => "units unknown".to_owned(),
        };
        format!("{} {} ({units})", name.as_str(), plural(runs, "run", "runs"))
    });
    lines.add("billed", &runs.collect::<Vec<_>>().join(", "));
    if let Some(why) = target.spending.exceeded_by(&summary.extension_runs) {
        lines.add("", &format!("{why} before the end; the rows beyond it are left to a resume"));
    }
    if target.is_first_run {
        lines.add(
            "",
            "no earlier run of this account: extensions that other machines or users ran on these \
             files are not known here, and would be charged again",
        );
    }
}

/// Adds the number of extension runs that are not charged again, by the evidence.
fn skipped_extensions(lines: &mut Layout, skipped: SkippedExtensions) {
    let SkippedExtensions { remembered, tagged } = skipped;
    let runs = |count| plural(count, "extension run", "extension runs");
    if remembered > 0 {
        let text = "charged in earlier runs (--rerun-extensions charges again)";
        lines.add("not run", &format!("{} {text}", runs(remembered)));
    }
    if tagged > 0 {
        let text = "on files with AI tags of the extension (--skip-tagged=never runs it)";
        let label = if remembered > 0 { "" } else { "not run" };
        lines.add(label, &format!("{} {text}", runs(tagged)));
    }
}

/// Adds the first changes.
fn examples(lines: &mut Layout, summary: &PlanSummary) {
    for (index, example) in summary.examples.iter().enumerate() {
        let label = match index {
            0 if summary.changed_files == 1 => "change",
            0 => "examples",
            _ => "",
        };
        lines.add_truncated(label, &example.title());
        let fields: Vec<String> = example.fields().collect();
        for field in fields.iter().take(EXAMPLE_FIELDS_MAX) {
            lines.add_truncated("", &format!("  {field}"));
        }
        let more = fields.len().saturating_sub(EXAMPLE_FIELDS_MAX);
        if more > 0 {
            lines.add("", &format!("  and {}", plural(more as u64, "more field", "more fields")));
        }
    }
}

/// Adds the first requests.
fn first_requests(lines: &mut Layout, summary: &PlanSummary) {
    for (index, request) in summary.first_requests.iter().enumerate() {
        let label = if index == 0 { "sends" } else { "" };
        lines.add_truncated(label, &format!("{} {}", request.target, request.body));
    }
}

/// Adds the number of files in several rows that ask for different values, and which row wins.
fn disagreements(lines: &mut Layout, summary: &PlanSummary) {
    let Some(Disagreement { file, rows, winner, rule }) = &summary.first_disagreement else {
        return;
    };
    let files = plural(summary.disagreements, "file is", "files are");
    let effect = match rule {
        Duplicates::InOrder => {
            format!("in sheet order, row {winner} wins (--duplicates last or reject)")
        }
        Duplicates::Last => "only the last row takes effect".to_owned(),
        Duplicates::Reject => "they are rejected".to_owned(),
    };
    lines.add(
        "duplicates",
        &format!(
            "{files} in several rows that ask for different values, such as {file} in {rows} rows; {effect}"
        ),
    );
}

/// Adds what columns show as a whole: first what holds rows back, then what is only noted.
fn findings(lines: &mut Layout, summary: &PlanSummary) {
    // Where no row is rejected, the files already have the values that would be held back.
    let is_held = |finding: &&ColumnFinding| summary.rejected > 0 && finding.is_held();
    let (held, noted): (Vec<_>, Vec<_>) = summary.findings.iter().partition(is_held);
    let held =
        held.into_iter().map(|it| ("held", format!("{it}, or pass {}", it.finding.accept_flag())));
    let noted = noted.into_iter().map(|it| ("note", it.to_string()));
    for (label, finding) in held.chain(noted).take(FINDINGS_SHOWN_MAX) {
        lines.add(label, &finding);
    }
    let more = summary.findings.len().saturating_sub(FINDINGS_SHOWN_MAX);
    if more > 0 {
        lines.add("", &format!("and {}", plural(more as u64, "more finding", "more findings")));
    }
}

fn undo_text(summary: &PlanSummary, can_undo: bool) -> String {
    if !can_undo {
        return "not possible: --no-snapshot keeps no values from before".to_owned();
    }
    let has = |column: &str| summary.columns.contains(column);
    let irreversible = [
        (has("extensions"), "extension results"),
        (has("removeAITags"), "removed AI tags"),
        (has("isPublished"), "publication"),
    ];
    let irreversible: Vec<&str> =
        irreversible.into_iter().filter(|(is_in, _)| *is_in).map(|(_, what)| what).collect();
    let except = match irreversible.as_slice() {
        [] => String::new(),
        [one] => format!(", except {one}"),
        [some @ .., last] => format!(", except {} and {last}", some.join(", ")),
    };
    format!("`ikbulk undo` restores the values from before{except}")
}
