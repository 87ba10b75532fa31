//! Identifies the service behind an endpoint, whatever the endpoint's spelling.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use serde::{Deserialize, Serialize};

/// ImageKit's API: <https://api.imagekit.io>.
const IMAGEKIT_HOST: &str = "api.imagekit.io";
/// Name of ImageKit's own service.
const IMAGEKIT: &str = "imagekit";

/// Name of a service with ImageKit's API: `imagekit`, or `host:port/path` of another endpoint. File
/// ids are unique within a service, across its accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service(Box<str>);

impl Service {
    /// The service behind an endpoint. Letter case, a default port, a trailing dot or slash, and the
    /// different loopback names make no difference.
    #[must_use]
    pub fn at(endpoint: &Url) -> Self {
        let host = endpoint.host_str().unwrap_or_default().trim_end_matches('.');
        if host == IMAGEKIT_HOST {
            return Self(IMAGEKIT.into());
        }
        let host = if is_loopback(endpoint) { "localhost" } else { host };
        let port = endpoint.port_or_known_default().unwrap_or_default();
        let path = endpoint.path().trim_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        Self(format!("{host}:{port}{slash}{path}").into())
    }

    /// Name of the service.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether an endpoint is on this machine.
#[must_use]
pub(crate) fn is_loopback(endpoint: &Url) -> bool {
    let host = endpoint.host_str().unwrap_or_default().trim_end_matches('.');
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(endpoint: &str) -> String {
        Service::at(&Url::parse(endpoint).unwrap()).to_string()
    }

    #[test]
    fn endpoint_spelling_does_not_matter() {
        for endpoint in [
            "https://api.imagekit.io",
            "https://API.ImageKit.io/",
            "https://api.imagekit.io:443",
            "https://api.imagekit.io./",
        ] {
            assert_eq!(service(endpoint), "imagekit", "{endpoint}");
        }
        for endpoint in [
            "http://localhost:8077",
            "http://127.0.0.1:8077/",
            "http://[::1]:8077",
            "http://LOCALHOST:8077//",
        ] {
            assert_eq!(service(endpoint), "localhost:8077", "{endpoint}");
        }
        assert_eq!(service("https://proxy.example/imagekit/"), "proxy.example:443/imagekit");
    }

    #[test]
    fn other_port_host_or_path_is_another_service() {
        let services = [
            "https://api.imagekit.io",
            "https://eu.imagekit.example",
            "https://eu.imagekit.example/a",
            "https://eu.imagekit.example:8443",
        ];
        let services: std::collections::HashSet<String> =
            services.into_iter().map(service).collect();
        assert_eq!(services.len(), 4);
    }
}
