//! What the extensions of a sheet refer to: extensions that the account has saved, and the custom
//! metadata fields that AI tasks write.

use super::access::Client;
use super::error::{Error, ReadPurpose, Refusal};
use super::fields::Fields;
use crate::execute::Reads;
use crate::input::Context;
use crate::plan::ExtensionReferences;
use crate::request::Endpoint;
use crate::row::{ExtensionNames, SavedExtension};

/// Reads what the extensions refer to, in at most two GETs, and adds it to the context. Returns
/// whether it added anything, so that the input must be scanned again.
///
/// Without the saved extensions, nothing is known about the price of a run: a failed read refuses
/// the sheet.
pub(super) async fn read_references(
    references: &ExtensionReferences,
    context: &mut Context,
    fields: &mut Fields,
    checks_metadata: bool,
    (client, reads): (&Client, &Reads),
) -> Result<bool, Error> {
    let names = &mut context.rules.extensions;
    let needs_saved = references.unresolved && names.saved.is_none();
    if needs_saved {
        names.saved = Some(saved_extensions(client, reads).await?);
    }
    let needs_fields = references.fields && checks_metadata && context.schema.is_none();
    if needs_fields {
        *fields = Fields::read(client, reads).await?;
        context.schema = fields.schema();
    }
    refuse_unusable_names(names)?;
    Ok(needs_saved || needs_fields)
}

/// Reads the saved extensions of the account.
async fn saved_extensions(client: &Client, reads: &Reads) -> Result<Vec<SavedExtension>, Error> {
    let read = reads.read(Endpoint::SavedExtensions, || client.api.saved_extensions()).await;
    read.map_err(|failure| Error::Read { purpose: ReadPurpose::SavedExtensions, failure })
}

/// Refuses a sheet whose extensions for all rows cannot be used.
pub(super) fn refuse_unusable_names(names: &ExtensionNames) -> Result<(), Refusal> {
    names.check_for_all().map_err(Refusal::ExtensionsForAll)
}

/// Refuses to send extensions of a run whose saved extensions have changed since it was planned:
/// what a person confirmed, and what the limits count, would not be what runs.
pub(super) async fn refuse_changed(
    references: &ExtensionReferences,
    planned: &ExtensionNames,
    (client, reads): (&Client, &Reads),
) -> Result<(), Error> {
    if references.saved.is_empty() {
        return Ok(());
    }
    let now = saved_extensions(client, reads).await?;
    let find = |all: &[SavedExtension], id: &str| {
        all.iter().find(|saved| saved.id == id).map(|saved| saved.config.clone())
    };
    let planned = planned.saved.as_deref().unwrap_or_default();
    let changed = references.saved.iter().find(|id| find(&now, id) != find(planned, id));
    match changed {
        Some(id) => Err(Refusal::SavedExtensionChanged(id.to_string()).into()),
        None => Ok(()),
    }
}
