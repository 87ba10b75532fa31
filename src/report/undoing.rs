//! What the person reads of a run that is taken back, beside what is about to happen.

use super::lines::Lines;
use crate::undo::Undoing;
use crate::words::counted;

/// Says what is left alone, and what cannot be undone; nothing where there is nothing to say.
#[must_use]
pub fn undoing(undoing: &Undoing, width: usize) -> String {
    let mut lines = Lines::new(width);
    left_alone(&mut lines, undoing);
    if !undoing.extensions.is_empty() {
        let runs = undoing.extensions.iter().map(|(name, runs)| format!("{name} {runs}"));
        let runs = runs.collect::<Vec<_>>().join(", ");
        lines.add(
            "not undone",
            &format!(
                "runs of extensions ({runs}): their units are not given back, and what they wrote \
                 or made stays"
            ),
        );
    }
    if undoing.ai_tags > 0 {
        let files = counted(undoing.ai_tags, "file", "files");
        let text = format!("AI tags that were removed from {files}: no call of ImageKit adds any");
        lines.add("not undone", &text);
    }
    if undoing.publications > 0 {
        let files = counted(undoing.publications, "file", "files");
        lines.add("not undone", &format!("the publication of {files} that was changed"));
    }
    lines.into_text()
}

fn left_alone(lines: &mut Lines, undoing: &Undoing) {
    for (index, (why, files)) in undoing.left_alone.iter().enumerate() {
        let label = if index == 0 { "left alone" } else { "" };
        let files = counted(*files, "file", "files");
        lines.add(label, &format!("values of {files}: {}", why.as_str()));
    }
    for (file, field, why) in &undoing.first_left_alone {
        lines.add("", &format!("  {field} of {file}: {}", why.as_str()));
    }
    if let Some(list) = &undoing.list {
        lines.add_whole("", &format!("all of them: {}", list.display()));
    }
}
