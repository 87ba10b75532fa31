//! What the person reads of a run that is taken back, beside what is about to happen.

use super::layout::Layout;
use crate::plural::plural;
use crate::undo::UndoSummary;

/// Says what is left alone, and what cannot be undone; nothing where there is nothing to say.
#[must_use]
pub fn render_undo(render_undo: &UndoSummary, width: usize) -> String {
    let mut lines = Layout::new(width);
    skipped(&mut lines, render_undo);
    if !render_undo.extensions.is_empty() {
        let runs = render_undo.extensions.iter().map(|(name, runs)| format!("{name} {runs}"));
        let runs = runs.collect::<Vec<_>>().join(", ");
        lines.add(
            "not undone",
            &format!(
                "runs of extensions ({runs}): their units are not given back, and what they wrote \
                 or made stays"
            ),
        );
    }
    if render_undo.ai_tags > 0 {
        let files = plural(render_undo.ai_tags, "file", "files");
        let text = format!("AI tags that were removed from {files}: no call of ImageKit adds any");
        lines.add("not undone", &text);
    }
    if render_undo.publications > 0 {
        let files = plural(render_undo.publications, "file", "files");
        lines.add("not undone", &format!("the publication of {files} that was changed"));
    }
    lines.into_text()
}

fn skipped(lines: &mut Layout, render_undo: &UndoSummary) {
    for (index, (why, files)) in render_undo.skipped.iter().enumerate() {
        let label = if index == 0 { "left alone" } else { "" };
        let files = plural(*files, "file", "files");
        lines.add(label, &format!("values of {files}: {}", why.as_str()));
    }
    for (file, field, why) in &render_undo.first_left_alone {
        lines.add("", &format!("  {field} of {file}: {}", why.as_str()));
    }
    if let Some(list) = &render_undo.list {
        lines.add_whole("", &format!("all of them: {}", list.display()));
    }
}
