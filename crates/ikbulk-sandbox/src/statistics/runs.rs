//! Billed runs by file, extension and configuration.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// The billed runs of one configuration of an extension on a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionRuns {
    /// Id of the file.
    pub file_id: String,
    /// Name of the extension, as in `extensionStatus`.
    pub extension: String,
    /// The configuration; that of the saved extension if the request named one.
    pub configuration: Value,
    /// Number of runs, including failed and pending ones.
    pub runs: u64,
    /// Units that they cost.
    pub units: u64,
}

/// All billed runs.
#[derive(Debug, Default)]
pub(crate) struct RunCounts(BTreeMap<RunKey, (u64, u64)>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RunKey {
    file: Box<str>,
    extension: &'static str,
    /// As JSON.
    configuration: Box<str>,
}

impl RunCounts {
    /// Records a run. Returns how often this configuration has run on this file.
    pub(crate) fn record(
        &mut self,
        file: &str,
        extension: &'static str,
        configuration: &Value,
        units: u64,
    ) -> u64 {
        let configuration = configuration.to_string().into();
        let key = RunKey { file: file.into(), extension, configuration };
        let (runs, total) = self.0.entry(key).or_default();
        *runs += 1;
        *total += units;
        *runs
    }

    /// The runs, sorted by file, extension and configuration.
    pub(crate) fn list(&self) -> Vec<ExtensionRuns> {
        let entry = |(key, &(runs, units)): (&RunKey, &(u64, u64))| ExtensionRuns {
            file_id: key.file.to_string(),
            extension: key.extension.to_owned(),
            configuration: serde_json::from_str(&key.configuration).unwrap_or_default(),
            runs,
            units,
        };
        self.0.iter().map(entry).collect()
    }
}
