//! The flags of `ikbulk sandbox` about what nobody knows of the API.

use clap::Args;

use super::CliError;
use crate::sandbox::{
    Config, EmptyDescription, EmptyTags, MissingIds, Quirks, RequiredFields, TagLength, WrongKey,
};

#[derive(Debug, Args)]
pub(super) struct QuirkArgs {
    /// What an empty list of tags does in a PATCH
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    empty_tags: EmptyTags,
    /// What an empty description does in a PATCH
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    empty_description: EmptyDescription,
    /// In what the length of tags is counted, of which there may be 500
    #[arg(long, value_enum, default_value_t, value_name = "UNIT")]
    tag_length: TagLength,
    /// Whether a bulk call that misses files says which
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    missing_ids: MissingIds,
    /// What a required custom metadata field demands of an update
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    required_fields: RequiredFields,
    /// Make this custom metadata field a required one; can be repeated
    #[arg(long, value_name = "NAME")]
    require: Vec<String>,
    /// Answer a wrong key with 403 rather than 401
    #[arg(long)]
    forbid_wrong_key: bool,
    /// Refuse to list with a higher skip than this
    #[arg(long, value_name = "N")]
    skip_max: Option<usize>,
    /// Refuse requests whose path and query are longer than this, with 414
    #[arg(long, value_name = "BYTES")]
    url_max: Option<usize>,
}

impl QuirkArgs {
    /// The settings with these answers.
    pub(super) fn apply(&self, mut config: Config) -> Result<Config, CliError> {
        for name in &self.require {
            let field = config.fields.iter_mut().find(|field| field["name"] == name.as_str());
            let field = field.ok_or_else(|| {
                CliError::new(format!("the sandbox has no custom metadata field {name}"))
            })?;
            field["schema"]["isValueRequired"] = true.into();
        }
        let wrong_key =
            if self.forbid_wrong_key { WrongKey::Forbidden } else { WrongKey::Unauthorized };
        let quirks = Quirks {
            empty_tags: self.empty_tags,
            empty_description: self.empty_description,
            tag_length: self.tag_length,
            missing_ids: self.missing_ids,
            required_fields: self.required_fields,
            wrong_key,
            skip_max: self.skip_max,
            url_max: self.url_max,
        };
        Ok(Config { quirks, ..config })
    }
}
