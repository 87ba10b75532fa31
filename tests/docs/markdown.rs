//! As much of Markdown as the pages use.

/// A fenced block of code.
pub(crate) struct Block {
    /// The words after the opening fence.
    pub(crate) language: String,
    /// The comment in the line before the fence, without its delimiters.
    pub(crate) comment: Option<String>,
    /// The index of the first line of the body.
    pub(crate) start: usize,
    pub(crate) body: Vec<String>,
}

/// The fenced blocks of a page.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let lines: Vec<&str> = text.lines().collect();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in lines.iter().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.body.push((*line).to_owned()),
            (None, Some(language)) => {
                let before = index.checked_sub(1).map_or("", |before| lines[before]);
                let comment = before
                    .strip_prefix("<!--")
                    .and_then(|rest| rest.strip_suffix("-->"))
                    .map(|comment| comment.trim().to_owned());
                let language = language.to_owned();
                open = Some(Block { language, comment, start: index + 1, body: Vec::new() });
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is never closed");
    blocks
}

/// The lines outside of fenced blocks, with their numbers from 1.
pub(crate) fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            lines.push((index + 1, line));
        }
    }
    lines
}

/// The pieces of inline code of a line.
pub(crate) fn inline_code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The relative links of a page, with the numbers of their lines.
pub(crate) fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        for piece in plain.split("](").skip(1) {
            let target = piece.split(')').next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") {
                links.push((number, target.to_owned()));
            }
        }
    }
    links
}

/// The anchors that GitHub gives the headings of a page.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, line) in prose(text) {
        let Some(title) = line.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim())
        else {
            continue;
        };
        let slug: String = title
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() })
            .collect();
        let repeated = anchors.iter().filter(|other| **other == slug).count();
        anchors.push(if repeated == 0 { slug } else { format!("{slug}-{repeated}") });
    }
    anchors
}
