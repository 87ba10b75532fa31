//! Flags for receiving callbacks.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use ikbulk::engine::{Callbacks, PublicUrl};
use secrecy::SecretString;

use super::CliError;
use super::help::CALLBACKS;

/// How every secret of ImageKit begins.
const SECRET_PREFIX: &str = "whsec_";
/// The environment variable of the secret, as in ImageKit's SDKs.
const VARIABLE: &str = "IMAGEKIT_WEBHOOK_SECRET";

#[derive(Debug, Args)]
pub(super) struct ListenArgs {
    /// Receive ImageKit's callbacks about pending extensions on this address, such as
    /// 127.0.0.1:8090, or on this port of 127.0.0.1
    #[arg(long, value_name = "ADDR", value_parser = parse_address, help_heading = CALLBACKS)]
    listen: Option<SocketAddr>,
    /// Where ImageKit reaches that address, through a proxy or tunnel: an https URL. Requests name
    /// it, with a token of the run, as webhookUrl, except for rows with a webhookUrl of their own
    #[arg(long, value_name = "URL", help_heading = CALLBACKS)]
    public_url: Option<PublicUrl>,
    /// Refuse callbacks that are not signed with the secret in this file (Standard Webhooks)
    /// [default: the secret in `IMAGEKIT_WEBHOOK_SECRET`, if any]
    #[arg(long, value_name = "FILE", hide_short_help = true, help_heading = CALLBACKS)]
    webhook_secret_file: Option<PathBuf>,
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse();
    port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .or_else(|_| text.parse())
        .map_err(|_| "write an IP address with a port, like 127.0.0.1:8090".to_owned())
}

impl ListenArgs {
    /// Whether callbacks are to be received.
    pub(super) fn listens(&self) -> bool {
        self.listen.is_some()
    }

    /// Reads the secret, if there is one.
    pub(super) fn to_callbacks(&self) -> Result<Callbacks, CliError> {
        let secret = match (&self.webhook_secret_file, std::env::var_os(VARIABLE)) {
            (Some(path), _) => {
                Some(secret_of(&read_secret_file(path)?, &format!("the file {}", path.display()))?)
            }
            (None, Some(text)) if self.listens() && !text.is_empty() => {
                let text = text.into_string().map_err(|_| not_text(VARIABLE))?;
                Some(secret_of(&text, VARIABLE)?)
            }
            // The variable can be there for other programs.
            (None, _) => None,
        };
        Ok(Callbacks { public_url: self.public_url.clone(), listen: self.listen, secret })
    }
}

fn read_secret_file(path: &Path) -> Result<String, CliError> {
    let name = path.display();
    let failed =
        |error| CliError::new(format!("cannot read the webhook secret in {name}: {error}"));
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!("other users can read the webhook secret in {name}; run: chmod 600 {name}");
    }
    let bytes = fs::read(path).map_err(failed)?;
    String::from_utf8(bytes).map_err(|_| not_text(&format!("the file {name}")))
}

fn not_text(origin: &str) -> CliError {
    CliError::new(format!("the webhook secret in {origin} is not text"))
}

/// The secret in a text, without the byte order mark and line end that editors and shells add.
fn secret_of(text: &str, origin: &str) -> Result<SecretString, CliError> {
    let secret = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if secret.is_empty() {
        return Err(CliError::new(format!("the webhook secret in {origin} is empty")));
    }
    let key = secret.strip_prefix(SECRET_PREFIX).unwrap_or_default();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CliError::new(format!(
            "the webhook secret in {origin} is none: it begins with {SECRET_PREFIX}, without blanks; \
             every callback would be refused"
        )));
    }
    Ok(secret.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_may_be_a_port() {
        for (text, expected) in [
            ("8090", Some("127.0.0.1:8090")),
            (":8090", Some("127.0.0.1:8090")),
            ("0.0.0.0:8090", Some("0.0.0.0:8090")),
            ("[::1]:8090", Some("[::1]:8090")),
            ("example.com:8090", None),
            ("127.0.0.1", None),
            ("70000", None),
            ("", None),
        ] {
            let parsed = parse_address(text).ok().map(|address| address.to_string());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn secret_is_trimmed_and_not_empty() {
        use secrecy::ExposeSecret as _;
        let secret = secret_of("\u{feff}whsec_a\r\n", "x").unwrap();
        assert_eq!(secret.expose_secret(), "whsec_a");
        for malformed in
            [" \n", "whsec_", "whsec_a b", "whsec_ä", "secret", "WHSEC_a", "\"whsec_a\""]
        {
            assert!(secret_of(malformed, "x").is_err(), "{malformed:?}");
        }
    }
}
