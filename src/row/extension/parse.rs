//! Parses the extensions of a cell: names, or the array of the API.

use serde_json::Value;

use super::names::ExtensionNames;
use super::{Extension, Extensions, check_status_keys};
use crate::row::cell::Cell;
use crate::row::problem::Invalid;

const ARRAY_HINT: &str = r#"write an array like [{"name":"remove-bg"}]"#;

impl Extensions {
    /// Parses a cell; `None` for an empty array.
    pub(in crate::row) fn parse(
        cell: Cell<'_>,
        names: &ExtensionNames,
    ) -> Result<Option<Self>, Invalid> {
        if let Some(text) = cell.trimmed_text().filter(|text| !text.starts_with(['[', '{'])) {
            return Self::of(by_names(text, names, array_fix)?);
        }
        let json = cell
            .json()
            .map_err(|error| Invalid::new(format!("is not valid JSON ({error})"), ARRAY_HINT))?;
        let Value::Array(array) = json.as_ref() else {
            return Err(Invalid::new("is not a JSON array", ARRAY_HINT));
        };
        let mut extensions = Vec::with_capacity(array.len());
        for element in array {
            match element {
                Value::String(name) => extensions.extend(names.named(name.trim(), array_fix)?),
                object => extensions.push(names.configured(object)?),
            }
        }
        Self::of(extensions)
    }

    /// The extensions of a row that has none of its own, if there are any for all rows.
    pub(in crate::row) fn for_all(names: &ExtensionNames) -> Result<Option<Self>, Invalid> {
        match &names.for_all {
            Some(for_all) => Self::of(by_names(for_all.trim(), names, preset_fix)?),
            None => Ok(None),
        }
    }

    fn of(extensions: Vec<Extension>) -> Result<Option<Self>, Invalid> {
        check_status_keys(&extensions)?;
        Ok((!extensions.is_empty()).then(|| Self(extensions.into())))
    }
}

/// The fix of a cell that names an extension without its configuration.
fn array_fix(name: &str) -> String {
    format!(r#"write [{{"name":"{name}",…}}]"#)
}

/// The same for the extensions of all rows, which can only be named.
fn preset_fix(name: &str) -> String {
    format!(
        "write {name} as a preset into ikbulk.toml, [extensions.NAME], and pass --extensions NAME"
    )
}

/// The extensions of a list of names, separated by commas. A name may contain one itself.
fn by_names(
    text: &str,
    names: &ExtensionNames,
    fix: fn(&str) -> String,
) -> Result<Vec<Extension>, Invalid> {
    let whole = names.named(text, fix);
    let is_found = |all: &Vec<Extension>| all.iter().all(Extension::is_resolved);
    if !text.contains(',') || whole.as_ref().is_ok_and(is_found) {
        return whole;
    }
    let parts = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let each = parts.map(|name| names.named(name, fix)).collect::<Result<Vec<_>, _>>()?;
    Ok(each.into_iter().flatten().collect())
}
