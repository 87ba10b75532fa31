//! HTTP client for callbacks, which only connects to this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, Request, Uri};
use bytes::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long the API waits for a response, according to its documentation.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A plain http URL on loopback. There are no DNS lookups and no proxies, so a sandbox cannot be made
/// to connect to other machines.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    address: SocketAddr,
    host: String,
    path: String,
}

impl Target {
    /// `None` for any other URL.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("http"))?;
        let ip = match host.trim_start_matches('[').trim_end_matches(']') {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            literal => literal.parse().ok()?,
        };
        let address = SocketAddr::new(ip, uri.port_u16().unwrap_or(80));
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let target = || Self { address, host: address.to_string(), path: path.to_owned() };
        ip.is_loopback().then(target)
    }
}

/// Sends a JSON body. Returns the status of the response; `None` if there was none.
pub(crate) async fn post(target: &Target, headers: HeaderMap, body: Bytes) -> Option<u16> {
    let mut request = Request::post(&target.path)
        .header(HOST, &target.host)
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .ok()?;
    request.headers_mut().extend(headers);
    tokio::time::timeout(RESPONSE_TIMEOUT, exchange(target.address, request)).await.ok()?
}

async fn exchange(address: SocketAddr, request: Request<Body>) -> Option<u16> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await;
    connection.abort();
    response.ok().map(|response| response.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_urls_are_accepted() {
        let address = |url| Target::parse(url).map(|target| target.address.to_string());
        assert_eq!(address("http://127.0.0.1:80/a?b=c").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(address("http://127.8.9.1").as_deref(), Some("127.8.9.1:80"));
        assert_eq!(address("http://localhost:1234/a").as_deref(), Some("127.0.0.1:1234"));
        assert_eq!(address("http://[::1]:1234/a").as_deref(), Some("[::1]:1234"));
        for elsewhere in [
            "https://127.0.0.1/a",
            "http://10.0.0.1/a",
            "http://0.0.0.0/a",
            "http://[::ffff:10.0.0.1]/a",
            "http://localhost.example.com/a",
            "http://127.0.0.1@example.com/a",
            "http://example.com/127.0.0.1",
            "http://",
            "/a",
        ] {
            assert_eq!(address(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn query_is_part_of_the_path() {
        let target = Target::parse("http://127.0.0.1:9/a/b?token=x#y").unwrap();
        assert_eq!((target.path.as_str(), target.host.as_str()), ("/a/b?token=x", "127.0.0.1:9"));
    }
}
