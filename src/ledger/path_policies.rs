//! The path policies of a run's files. Most files have the same few, so each is stored once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::{FileRecord, LedgerError, LedgerFile};
use crate::file_fields::{FileFields, JsonText};
use crate::row::{PathPolicy, Schema};
use crate::sqlite::damaged;

/// `schema` is `selectedFieldsSchema` of file objects. If it shows the first options of a field only,
/// `folder` is the folder for which the complete options can be listed, and `fields` is that list once
/// it was read; otherwise the folder is empty.
pub(super) const TABLE: &str = "
    CREATE TABLE path_policy (
        id INTEGER PRIMARY KEY,
        schema TEXT NOT NULL,
        folder TEXT NOT NULL,
        fields TEXT,
        UNIQUE (schema, folder)
    );";

/// Key of a path policy in a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PolicyId(pub(super) i64);

/// Stores the path policy of a file, if it has one.
pub(super) fn add(connection: &Connection, file: &FileFields) -> rusqlite::Result<Option<i64>> {
    let schema = file.selected_fields_schema.as_ref().map(JsonText::as_str);
    let Some(schema) = schema.filter(|schema| schema.starts_with('{')) else { return Ok(None) };
    let folder = if PathPolicy::is_truncated(schema) { file.folder() } else { "" };
    let key = params![schema, folder];
    let select = "SELECT id FROM path_policy WHERE schema = ?1 AND folder = ?2";
    let mut select = connection.prepare_cached(select)?;
    if let Some(id) = select.query_row(key, |row| row.get(0)).optional()? {
        return Ok(Some(id));
    }
    let insert = "INSERT INTO path_policy (schema, folder) VALUES (?1, ?2)";
    connection.prepare_cached(insert)?.insert(key).map(Some)
}

impl LedgerFile {
    /// A path policy of the run's files.
    ///
    /// # Errors
    /// The ledger cannot be read, or the policy is damaged.
    fn path_policy(&self, PolicyId(id): PolicyId) -> Result<PathPolicy, LedgerError> {
        self.reading(|connection| {
            let sql = "SELECT schema, fields FROM path_policy WHERE id = ?1";
            connection.query_row(sql, [id], |row| {
                let fields: Option<String> = row.get(1)?;
                let fields = fields.map(|json| Schema::from_json(json.as_bytes())).transpose();
                let fields = fields.map_err(damaged)?;
                PathPolicy::from_json(row.get_ref(0)?.as_str()?, fields.as_ref()).map_err(damaged)
            })
        })
    }

    /// The path policies that show the first options of a field only, with the folder for which the
    /// complete options can be listed; at most `at_most`.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn truncated_policies(
        &self,
        at_most: u32,
    ) -> Result<Vec<(PolicyId, String)>, LedgerError> {
        self.reading(|connection| {
            let sql = "SELECT id, folder FROM path_policy
                       WHERE folder <> '' AND fields IS NULL ORDER BY id LIMIT ?1";
            let mut select = connection.prepare(sql)?;
            let policies =
                select.query_map([at_most], |row| Ok((PolicyId(row.get(0)?), row.get(1)?)))?;
            policies.collect()
        })
    }

    /// Stores the list of fields of a policy's folder, as the API sent it.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub(crate) fn set_policy_fields(
        &self,
        PolicyId(id): PolicyId,
        json: &str,
    ) -> Result<(), LedgerError> {
        self.writing(|connection| {
            let sql = "UPDATE path_policy SET fields = ?2 WHERE id = ?1";
            connection.execute(sql, params![id, json]).map(drop)
        })
    }
}

/// The path policies of a run, each read once.
#[derive(Debug, Default)]
pub(crate) struct PathPolicies(HashMap<PolicyId, Arc<PathPolicy>>);

impl PathPolicies {
    /// The policy of a file.
    ///
    /// # Errors
    /// The ledger cannot be read, or the policy is damaged.
    pub(crate) fn of(
        &mut self,
        record: &FileRecord,
        ledger: &LedgerFile,
    ) -> Result<Option<Arc<PathPolicy>>, LedgerError> {
        let Some(id) = record.policy else { return Ok(None) };
        Ok(Some(Arc::clone(match self.0.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Arc::new(ledger.path_policy(id)?)),
        })))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::ledger::testing::{self, add_files, fields};

    #[test]
    fn policy_is_stored_once_for_all_files_with_the_same_options() {
        let (_directory, ledger) = testing::ledger();
        add_files(&ledger, &["a", "b", "c", "d", "e"]);
        let complete = json!({"size": {"type": "Text"}});
        let truncated = json!({"size": {"type": "Text", "selectOptionsTruncated": true}});
        let add = |file: &str, path: &str, schema: &Value| {
            let mut fields = fields(file, "x");
            fields.file_path = Some(path.to_owned());
            fields.selected_fields_schema = serde_json::from_str(&schema.to_string()).unwrap();
            ledger.set_state(&fields).unwrap();
            ledger.file_record(file).unwrap().expect("a file of the run").policy.expect("a policy")
        };
        let one = add("a", "/a/one.jpg", &complete);
        assert_eq!(add("b", "/b/two.jpg", &complete), one);
        let top = add("c", "/three.jpg", &truncated);
        assert_ne!(top, one);
        let inner = add("d", "/d/in/four.jpg", &truncated);
        assert_ne!(inner, top, "options that are not shown can differ between folders");
        let expected = vec![(top, "/".to_owned()), (inner, "/d/in".to_owned())];
        assert_eq!(ledger.truncated_policies(9).unwrap(), expected);
        ledger.set_policy_fields(top, "[]").unwrap();
        assert_eq!(ledger.truncated_policies(9).unwrap(), expected[1..]);
        ledger.set_state(&fields("e", "x")).unwrap();
        assert_eq!(ledger.file_record("e").unwrap().expect("a file of the run").policy, None);
    }
}
