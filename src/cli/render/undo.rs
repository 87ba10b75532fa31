//! The part of the preview of `undo` about values that are not restored.

use super::layout::Layout;
use ikbulk::engine::UndoSummary;
use ikbulk::internals::plural;

/// Renders which files are skipped and what cannot be undone; empty if everything can.
pub(in crate::cli) fn render_undo(summary: &UndoSummary, width: usize) -> String {
    let mut lines = Layout::new(width);
    skipped(&mut lines, summary);
    if !summary.extensions.is_empty() {
        let runs = summary.extensions.iter().map(|(name, runs)| format!("{name} {runs}"));
        let runs = runs.collect::<Vec<_>>().join(", ");
        lines.add(
            "not undone",
            &format!(
                "extension runs ({runs}): their units are not refunded, and their results stay"
            ),
        );
    }
    if summary.ai_tags > 0 {
        let files = plural(summary.ai_tags, "file", "files");
        let text = format!("AI tags removed from {files}: the API cannot add AI tags");
        lines.add("not undone", &text);
    }
    if summary.publications > 0 {
        let files = plural(summary.publications, "file", "files");
        lines.add("not undone", &format!("the changed publication of {files}"));
    }
    lines.into_text()
}

fn skipped(lines: &mut Layout, summary: &UndoSummary) {
    for (index, (why, files)) in summary.skipped.iter().enumerate() {
        let label = if index == 0 { "skipped" } else { "" };
        let files = plural(*files, "file", "files");
        lines.add(label, &format!("{files}: {}", why.as_str()));
    }
    for (file, field, why) in &summary.first_skipped {
        lines.add("", &format!("  {field} of {file}: {}", why.as_str()));
    }
    if let Some(list) = &summary.list {
        lines.add_unwrapped("", &format!("full list: {}", list.display()));
    }
}
