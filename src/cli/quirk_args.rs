//! Flags of `ikbulk sandbox` for API behaviour that is not documented.

use clap::Args;

use super::CliError;
use super::help::QUIRKS;
use ikbulk_sandbox::{
    Config, EmptyDescription, EmptyTags, MissingIds, Quirks, ReadOnlyFields, RequiredFields,
    TagLength, WrongKey,
};

#[derive(Debug, Args)]
#[command(next_help_heading = QUIRKS)]
pub(super) struct QuirkArgs {
    /// The effect of an empty tag list in a PATCH
    #[arg(long, hide_short_help = true, value_enum, default_value_t, value_name = "WHAT")]
    empty_tags: EmptyTags,
    /// The effect of an empty description in a PATCH
    #[arg(long, hide_short_help = true, value_enum, default_value_t, value_name = "WHAT")]
    empty_description: EmptyDescription,
    /// The unit of the limit of 500 for the tags of a file
    #[arg(long, hide_short_help = true, value_enum, default_value_t, value_name = "UNIT")]
    tag_length: TagLength,
    /// Whether a bulk call names the files that do not exist
    #[arg(long, hide_short_help = true, value_enum, default_value_t, value_name = "WHICH")]
    missing_ids: MissingIds,
    /// What a required custom metadata field requires of an update
    #[arg(long, hide_short_help = true, value_enum, default_value_t, value_name = "WHAT")]
    required_fields: RequiredFields,
    /// Whether a read-only custom metadata field of a path policy accepts the value that it has
    #[arg(long, hide_short_help = true, value_enum, default_value_t, value_name = "WHAT")]
    read_only_fields: ReadOnlyFields,
    /// Make this custom metadata field required; may be given several times
    #[arg(long, hide_short_help = true, value_name = "NAME")]
    require: Vec<String>,
    /// Reject more than this many extension runs of a file
    #[arg(long, hide_short_help = true, value_name = "N")]
    extension_limit: Option<u64>,
    /// Respond to a wrong key with 403 instead of 401
    #[arg(long, hide_short_help = true)]
    forbid_wrong_key: bool,
    /// Reject list requests with a higher skip
    #[arg(long, hide_short_help = true, value_name = "N")]
    skip_max: Option<usize>,
    /// Reject requests with a longer path and query, with 414
    #[arg(long, hide_short_help = true, value_name = "BYTES")]
    url_max: Option<usize>,
}

impl QuirkArgs {
    /// The sandbox configuration with these quirks.
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
            read_only_fields: self.read_only_fields,
            extension_limit: self.extension_limit,
            wrong_key,
            skip_max: self.skip_max,
            url_max: self.url_max,
        };
        Ok(Config { quirks, ..config })
    }
}
