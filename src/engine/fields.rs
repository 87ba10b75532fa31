//! The custom metadata fields of an account.

use std::sync::Arc;

use super::access::Client;
use super::error::{Error, ReadPurpose};
use crate::execute::Reads;
use crate::input::Context;
use crate::ledger::RunMeta;
use crate::request::Endpoint;
use crate::row::{Resolved, Rules, Schema};

/// The custom metadata fields of an account: the JSON for the ledger, and the schema.
pub(super) struct Fields {
    pub(super) json: String,
    schema: Option<Schema>,
}

impl Fields {
    /// No schema: custom metadata is sent as is.
    pub(super) fn unchecked() -> Self {
        Self { json: String::new(), schema: None }
    }

    /// The fields that a run was validated against.
    pub(super) fn of_run(meta: &RunMeta) -> Self {
        // The schema was read already, with the context of the run.
        Self { json: meta.fields.clone(), schema: None }
    }

    /// Reads the fields of the account, in one GET.
    pub(super) async fn read(client: &Client, reads: &Reads) -> Result<Self, Error> {
        let read = reads.read(Endpoint::MetadataFields, || client.api.schema()).await;
        let (schema, body) =
            read.map_err(|failure| Error::Read { purpose: ReadPurpose::MetadataFields, failure })?;
        Ok(Self { json: String::from_utf8_lossy(&body).into_owned(), schema: Some(schema) })
    }

    /// The schema; `None` if custom metadata is not checked.
    pub(super) fn schema(&self) -> Option<Schema> {
        self.schema.clone()
    }

    /// The context for reading cells; `files` are the resolved paths and URLs.
    pub(super) fn context(&self, rules: Rules, files: Option<Resolved>) -> Context {
        let (schema, files) = (self.schema.clone(), files.map(Arc::new));
        Context { rules, schema, files }
    }
}
