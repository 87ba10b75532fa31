//! The lines of a charges file: one JSON object each. `docs/reference/charges-file.md` describes it.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::ChargeCertainty;
use crate::account::{AccountName, Service};
use crate::row::{ExtensionFingerprint, ExtensionName};

/// Format of the file, incremented with every incompatible change.
pub(super) const FORMAT: u32 = 2;

/// A line. The first is [`Self::Charges`], the last [`Self::End`]; a run precedes what refers to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    /// What the file contains.
    Charges {
        format: u32,
        /// The service that the files belong to.
        service: Service,
        /// The account whose spending is included, where its name is known.
        account: Option<AccountName>,
    },
    /// A run that charges refer to.
    Run {
        id: String,
        /// Its directory on the machine that executed it.
        path: String,
        begun: Timestamp,
    },
    /// An extension that ran on a file, or may have run.
    Charge {
        file: String,
        /// Null for charges that an early version recorded.
        extension: Option<ExtensionName>,
        configuration: Configuration,
        /// Id of the run.
        run: String,
        certainty: ChargeCertainty,
    },
    /// How often a run ran an extension on a UTC day.
    Spent {
        /// Id of the run.
        run: String,
        day: Date,
        extension: ExtensionName,
        runs: u64,
    },
    /// The end of the file, without which it is cut short.
    End {
        /// The number of lines before.
        lines: u64,
    },
}

/// The hash of an extension's configuration, as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Configuration(pub(super) ExtensionFingerprint);

impl TryFrom<String> for Configuration {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(&text, 16).ok().filter(|_| is_hex);
        let number = number.ok_or("a configuration has 16 hexadecimal digits")?;
        Ok(Self(ExtensionFingerprint(number.cast_signed())))
    }
}

impl From<Configuration> for String {
    fn from(Configuration(fingerprint): Configuration) -> Self {
        fingerprint.to_string()
    }
}
