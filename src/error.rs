//! Formats errors as one line for people.

use std::error::Error;

/// An error and its causes, from the outermost to the innermost. A cause whose text is already part
/// of the line is not repeated.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let cause_text = error.to_string();
        let last = text.rsplit(": ").next().unwrap_or_default();
        if !text.contains(&cause_text) && !cause_text.ends_with(last) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Nested {
        text: &'static str,
        source: Option<Box<Self>>,
    }

    fn nested(texts: &[&'static str]) -> Option<Box<Nested>> {
        let (text, rest) = texts.split_first()?;
        Some(Box::new(Nested { text, source: nested(rest) }))
    }

    #[test]
    fn chain_repeats_no_cause() {
        for (texts, line) in [
            (&["cannot read", "no such file"][..], "cannot read: no such file"),
            (&["cannot read: no such file", "no such file"], "cannot read: no such file"),
            (
                &["cannot open: not a database", "Error code 26: not a database"],
                "cannot open: not a database",
            ),
        ] {
            let error = nested(texts).expect("there is a text");
            assert_eq!(chain(&*error), line);
        }
    }
}
