//! How the cells of an input are read. Recorded with a run, so that every later reading of its input
//! gives the same rows.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Field;
use super::cell::Cell;
use super::no_value::NoValue;
use super::problem::Invalid;

/// Rules for all cells of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The text that clears a field, `<clear>` unless set otherwise.
    pub clear_token: String,
    /// Words such as `NA` that are values in every field, although programs print them for no
    /// value.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub literals: BTreeSet<String>,
    /// The same by column: words that the library holds in that field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held_words: BTreeMap<String, BTreeSet<String>>,
    /// What a JSON null does to its field; `None` if nothing was said, so that it clears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null_means: Option<NullMeans>,
}

/// The effect of a JSON null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NullMeans {
    /// The field stays unchanged, as without the key.
    Leave,
    /// The field is cleared.
    Clear,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            clear_token: "<clear>".to_owned(),
            literals: BTreeSet::new(),
            held_words: BTreeMap::new(),
            null_means: None,
        }
    }
}

impl Rules {
    /// Whether the cell leaves its field unchanged.
    pub(super) fn leaves(&self, cell: Cell<'_>) -> bool {
        cell.is_empty()
            || self.null_means == Some(NullMeans::Leave) && matches!(cell, Cell::Json(Value::Null))
    }

    /// Why a whole cell is no value of the field; `None` for a value.
    pub(super) fn no_value(&self, field: &Field, cell: Cell<'_>) -> Option<NoValue> {
        let text = cell.text()?;
        match NoValue::of(text)? {
            word if word.can_be_value() && self.is_value(field, text.trim()) => None,
            // Extensions are JSON, with messages of their own.
            NoValue::Code if *field == Field::Extensions => None,
            no_value => Some(no_value),
        }
    }

    /// One word of a list without its escape.
    ///
    /// # Errors
    /// The word is what a program printed for no value.
    pub(super) fn word<'t>(&self, field: &Field, word: &'t str) -> Result<&'t str, Invalid> {
        if let Some(escaped) = super::no_value::unescaped(word) {
            return Ok(escaped);
        }
        match NoValue::of(word) {
            None => Ok(word),
            Some(no_value) if no_value.can_be_value() && self.is_value(field, word.trim()) => {
                Ok(word)
            }
            Some(no_value) => {
                let problem = format!("contains {word:?}, {}", no_value.description());
                Err(Invalid::new(problem, no_value.suggestion(word.trim())))
            }
        }
    }

    /// Whether a word that programs print for no value is a value of the field.
    fn is_value(&self, field: &Field, word: &str) -> bool {
        self.literals.contains(word)
            || field.has_option(word)
            || self.held_words.get(&*field.column()).is_some_and(|words| words.contains(word))
    }
}
