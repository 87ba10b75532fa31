//! The URL that a request carries as `webhookUrl`: `<public URL>/<token>/<row>`.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;
use reqwest::header::HeaderValue;

use super::Token;
use crate::row::{Content, Row, WebhookUrl};

/// Where ImageKit reaches the listener: its own address, or that of a proxy or tunnel before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(Box<str>);

/// Why a URL cannot be the public URL of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublicUrlError {
    /// It is no URL.
    #[error("not an absolute URL; write one like https://example.com/ikbulk")]
    NoUrl,
    /// Its scheme is neither https nor http.
    #[error("not an https URL; write one like https://example.com/ikbulk")]
    Scheme,
    /// It is http, and not on this machine.
    #[error(
        "not an https URL; over http the secret part of the callback URL could be read on its way"
    )]
    Plain,
    /// It has a part that a base URL cannot have.
    #[error("has a user name, a query or a fragment; write only host and path")]
    Part,
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let url = Url::parse(text).map_err(|_| PublicUrlError::NoUrl)?;
        let host = url.host_str().ok_or(PublicUrlError::NoUrl)?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(host) => {}
            "http" => return Err(PublicUrlError::Plain),
            _ => return Err(PublicUrlError::Scheme),
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(PublicUrlError::Part);
        }
        let url = url.as_str().trim_end_matches('/');
        // What follows is appended verbatim.
        HeaderValue::from_str(url).map_err(|_| PublicUrlError::NoUrl)?;
        Ok(Self(url.into()))
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_loopback(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = |ip: std::net::IpAddr| ip.is_loopback();
    host == "localhost" || literal.parse().is_ok_and(is_address)
}

/// The callback URL of a run, without a row: public URL and token.
#[derive(Debug, Clone)]
pub struct CallbackUrl {
    /// Where ImageKit reaches the listener.
    pub public: PublicUrl,
    /// The token of the run.
    pub token: Token,
}

impl CallbackUrl {
    /// The `webhookUrl` of the request that runs the extensions of a row.
    ///
    /// # Panics
    /// Never: a public URL followed by hexadecimal digits is a URL.
    #[must_use]
    pub fn of_row(&self, row: u64) -> WebhookUrl {
        let url = format!("{}/{}/{row}", self.public, self.token.expose());
        WebhookUrl::parse(&url).expect("a public URL, digits and slashes are a URL")
    }

    /// Names the URL in a row that runs extensions and has no `webhookUrl` of its own.
    pub fn add_to(&self, row: &mut Row) {
        if let Content::Update(update) = &mut row.content
            && update.change.extensions.is_some()
        {
            let url = || self.of_row(row.pos.number);
            update.change.webhook_url.get_or_insert_with(url);
        }
    }
}

/// The row in the path of a request to the listener; `None` if the path does not end with the token
/// and a row. What precedes them is up to the proxy.
pub(super) fn row_of_path(path: &str, token: &Token) -> Option<u64> {
    let (rest, row) = path.rsplit_once('/')?;
    let (_, given) = rest.rsplit_once('/')?;
    let row = Some(row).filter(|_| token.is(given))?;
    let is_number = row.bytes().all(|byte| byte.is_ascii_digit());
    row.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(public: &str) -> CallbackUrl {
        CallbackUrl { public: public.parse().unwrap(), token: Token::random().unwrap() }
    }

    #[test]
    fn path_of_a_row_names_the_row_behind_any_prefix() {
        let url = url("https://example.com/hooks/");
        let of_row = url.of_row(17);
        let path = of_row.as_str().strip_prefix("https://example.com").unwrap();
        assert!(path.starts_with("/hooks/") && !path.contains("//"), "{path}");
        assert_eq!(row_of_path(path, &url.token), Some(17));
        let stripped = path.strip_prefix("/hooks").unwrap();
        assert_eq!(row_of_path(stripped, &url.token), Some(17));
    }

    #[test]
    fn path_without_the_token_or_a_row_is_refused() {
        let token = Token::random().unwrap();
        let (text, other) = (token.expose().to_owned(), Token::random().unwrap());
        for path in [
            String::new(),
            "/".to_owned(),
            "*".to_owned(),
            "/7".to_owned(),
            format!("/{}/7", other.expose()),
            format!("/{}/7", text.to_uppercase()),
            format!("/{text}"),
            format!("/{text}/"),
            format!("/{text}/+7"),
            format!("/{text}/-7"),
            format!("/{text}/7/"),
            format!("/{text}/7/../8"),
            format!("/{text}//7"),
            format!("/{text}/7%00"),
            format!("/{text}/٧"),
            format!("/{text}/18446744073709551616"),
            format!("{text}/7"),
        ] {
            assert_eq!(row_of_path(&path, &token), None, "{path}");
        }
    }

    #[test]
    fn public_url_is_https_or_on_this_machine() {
        for (text, expected) in [
            ("https://example.com", Ok("https://example.com")),
            ("https://example.com:8443/a/b/", Ok("https://example.com:8443/a/b")),
            ("http://127.0.0.1:8090", Ok("http://127.0.0.1:8090")),
            ("http://[::1]:8090/", Ok("http://[::1]:8090")),
            ("http://localhost:8090/x", Ok("http://localhost:8090/x")),
            ("http://example.com", Err(PublicUrlError::Plain)),
            ("http://localhost.example.com", Err(PublicUrlError::Plain)),
            ("ftp://example.com", Err(PublicUrlError::Scheme)),
            ("example.com", Err(PublicUrlError::NoUrl)),
            ("https://", Err(PublicUrlError::NoUrl)),
            ("https://user@example.com", Err(PublicUrlError::Part)),
            ("https://example.com/?a=b", Err(PublicUrlError::Part)),
            ("https://example.com/#a", Err(PublicUrlError::Part)),
        ] {
            let parsed = text.parse::<PublicUrl>().map(|url| url.to_string());
            assert_eq!(parsed.as_deref().map_err(|error| *error), expected, "{text}");
        }
    }
}
