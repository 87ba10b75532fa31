//! The path policies of a run's files. Most files have the same few, so each is stored once.

use rusqlite::{Connection, OptionalExtension, params};

use super::{LedgerError, LedgerFile};
use crate::file_fields::FileFields;
use crate::row::{PathPolicy, Schema};
use crate::sqlite::damaged;

/// `schema` is `selectedFieldsSchema` of file objects. If it shows the first options of a field only,
/// `folder` is the folder whose fields have all, and `fields` their list once it was read; otherwise
/// the folder is empty.
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
    let Some(schema) = &file.selected_fields_schema else { return Ok(None) };
    let folder = if PathPolicy::is_truncated(schema) { file.folder() } else { "" };
    let key = params![schema.to_string(), folder];
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
    pub(crate) fn path_policy(&self, PolicyId(id): PolicyId) -> Result<PathPolicy, LedgerError> {
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

    /// The path policies that show the first options of a field only, with the folder whose fields
    /// have all.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn truncated_policies(&self) -> Result<Vec<(PolicyId, String)>, LedgerError> {
        self.reading(|connection| {
            let sql = "SELECT id, folder FROM path_policy WHERE folder <> '' AND fields IS NULL";
            let mut select = connection.prepare(sql)?;
            let policies = select.query_map([], |row| Ok((PolicyId(row.get(0)?), row.get(1)?)))?;
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
            fields.selected_fields_schema = Some(schema.clone());
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
        assert_eq!(ledger.truncated_policies().unwrap(), expected);
        ledger.set_policy_fields(top, "[]").unwrap();
        assert_eq!(ledger.truncated_policies().unwrap(), expected[1..]);
        ledger.set_state(&fields("e", "x")).unwrap();
        assert_eq!(ledger.file_record("e").unwrap().expect("a file of the run").policy, None);
    }
}
