//! Minimal HTTP/1.1: keep-alive and Content-Length.

use std::io::{self, BufRead, Read as _, Write};

use serde_json::Value;

/// A completely received request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Decoded, without the query.
    pub(crate) path: String,
    /// Decoded parameters.
    query: Vec<(String, String)>,
    pub(crate) authorization: String,
    pub(crate) body: Value,
    /// Whether the client closes the connection after this request.
    pub(crate) closes: bool,
}

impl Request {
    /// Reads the next request; `None` if the client has closed the connection.
    pub(crate) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next(), words.next());
        let target = target.ok_or(io::ErrorKind::InvalidData)?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut request = Self {
            method: method.ok_or(io::ErrorKind::InvalidData)?,
            path: decode(path),
            query: parameters(query),
            authorization: String::new(),
            body: Value::Null,
            closes: false,
        };
        let length = request.read_headers(from)?;
        let mut body = Vec::new();
        from.take(length).read_to_end(&mut body)?;
        if body.len() as u64 != length {
            // The client was killed while sending.
            return Ok(None);
        }
        request.body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Some(request))
    }

    /// Reads the headers; returns the length of the body.
    fn read_headers(&mut self, from: &mut impl BufRead) -> io::Result<u64> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else {
                return Ok(length);
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    length = value.parse().map_err(|_| io::ErrorKind::InvalidData)?;
                }
                "authorization" => value.clone_into(&mut self.authorization),
                "connection" => self.closes = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(parameter, _)| parameter == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_write(&self) -> bool {
        self.method != "GET"
    }

    /// The file id of a details request.
    pub(crate) fn file(&self) -> Option<&str> {
        self.path.strip_prefix("/v1/files/")?.strip_suffix("/details")
    }

    /// Whether the request reads or changes this file.
    pub(crate) fn concerns(&self, file: &str) -> bool {
        let ids = self.body["fileIds"].as_array().into_iter().flatten();
        self.file() == Some(file) || ids.into_iter().any(|id| id == file)
    }

    /// The ids of the request's files.
    pub(crate) fn files(&self) -> Vec<String> {
        let ids = self.body["fileIds"].as_array().into_iter().flatten();
        let ids = ids.filter_map(Value::as_str).chain(self.file());
        ids.map(str::to_owned).collect()
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Response {
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }

    /// An error in ImageKit's format.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        let help = "For support kindly contact us at support@imagekit.io .";
        Self { status, body: serde_json::json!({"message": message, "help": help}) }
    }

    pub(crate) fn write(&self, to: &mut impl Write, request_id: usize) -> io::Result<()> {
        let body = self.body.to_string();
        let head = format!(
            "HTTP/1.1 {} Response\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             x-ik-requestid: attack-{request_id}\r\n\r\n",
            self.status,
            body.len()
        );
        // In one write, so that a killed client has received all or nothing.
        to.write_all((head + &body).as_bytes())
    }
}

/// The `Authorization` value for a private key: HTTP Basic with the key as user and no password.
pub(crate) fn basic(key: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = "Basic ".to_owned();
    for bytes in format!("{key}:").as_bytes().chunks(3) {
        let group = bytes.iter().fold(0, |group, byte| group << 8 | usize::from(*byte));
        let group = group << (8 * (3 - bytes.len()));
        for digit in 0..4 {
            let is_padding = digit > bytes.len();
            let place = group >> (18 - 6 * digit) & 63;
            text.push(if is_padding { '=' } else { char::from(DIGITS[place]) });
        }
    }
    text
}

fn parameters(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

/// Decodes percent-encoding.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, encoded)) = rest.split_once('%') {
        bytes.extend(plain.as_bytes());
        let byte = encoded.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(b'%'));
        rest = if byte.is_some() { &encoded[2..] } else { encoded };
    }
    bytes.extend(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn basic_authorization_has_key_as_user() {
    assert_eq!(basic("a"), "Basic YTo=");
    assert_eq!(basic("ab"), "Basic YWI6");
    assert_eq!(basic("abc"), "Basic YWJjOg==");
}

#[test]
fn percent_encoding_is_decoded() {
    assert_eq!(decode("a%20%22b%22%2"), "a \"b\"%2");
}
