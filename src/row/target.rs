//! A file identified by its path in the library or by its URL.

use std::fmt;

use percent_encoding::percent_decode_str;

use super::problem::Invalid;

/// The host of ImageKit's own URL endpoints, where the first path segment is the account's ImageKit
/// id; custom domains omit it. From ImageKit's documentation.
const SHARED_HOST: &str = "ik.imagekit.io";
/// Prefix of a path segment with transformations, which can also be in the query. From ImageKit's
/// documentation.
const TRANSFORMATION: &str = "tr:";

/// A normalized path, or a normalized URL without transformations and query: two spellings of the
/// same target are equal.
///
/// Stored as `/products/shoe.jpg` or `//ik.imagekit.io/your_id/products/shoe.jpg`: percent-decoded,
/// host in lower case, no scheme, since http and https deliver the same file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target(Box<str>);

impl Target {
    /// Parses the path of a file, from the root of the library.
    pub(super) fn from_path(text: &str) -> Result<Self, Invalid> {
        let suggestion = "write the path from the root of the library, like /products/shoe.jpg";
        let rest = text
            .strip_prefix('/')
            .ok_or_else(|| Invalid::new("does not start with /", suggestion))?;
        if rest.split('/').any(str::is_empty) {
            return Err(Invalid::new("is not the path of a file", suggestion));
        }
        if rest.contains(char::is_control) {
            return Err(Invalid::new("contains a control character", suggestion));
        }
        Ok(Self(text.into()))
    }

    /// Whether it is a path rather than a URL.
    pub(super) fn is_path(&self) -> bool {
        !self.0.starts_with("//")
    }

    /// Parses the URL of a file, with or without transformations and query.
    pub(super) fn from_url(text: &str) -> Result<Self, Invalid> {
        let suggestion =
            "write the file's URL, like https://ik.imagekit.io/your_id/products/shoe.jpg";
        Self::parse_url(text).ok_or_else(|| Invalid::new("is not the URL of a file", suggestion))
    }

    fn parse_url(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_web = ["https", "http"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        let rest = rest.split(['?', '#']).next().filter(|_| is_web)?;
        let (host, path) = rest.split_once('/')?;
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '@') {
            return None;
        }
        let mut url = format!("//{}", host.to_ascii_lowercase());
        for part in path.split('/') {
            let part = percent_decode_str(part).decode_utf8().ok()?;
            if part.is_empty() || part.contains(|c: char| c == '/' || c.is_control()) {
                return None;
            }
            if !part.starts_with(TRANSFORMATION) {
                url.push('/');
                url.push_str(&part);
            }
        }
        let target = Self(url.into());
        // A file name must remain.
        (!target.file_path().is_empty()).then_some(target)
    }

    /// The inverse of [`Self::as_str`].
    #[must_use]
    pub fn kept(text: &str) -> Self {
        Self(text.into())
    }

    /// The normalized path or URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The normalized URL; `None` for a path.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.0.starts_with("//").then_some(&self.0)
    }

    /// The file's path in the library, like `/products/shoe.jpg`.
    #[must_use]
    pub fn file_path(&self) -> &str {
        let Some(rest) = self.0.strip_prefix("//") else {
            return &self.0;
        };
        let path = |text| suffix_from(text, '/').unwrap_or("");
        match rest.split_once('/') {
            Some((SHARED_HOST, _)) => path(path(rest).trim_start_matches('/')),
            _ => path(rest),
        }
    }

    /// Whether a file with this path and URL, from an API response, is the target.
    #[must_use]
    pub fn matches(&self, file_path: &str, url: Option<&str>) -> bool {
        let has_url = || url.and_then(Self::parse_url).as_ref() == Some(self);
        self.file_path() == file_path && (self.url().is_none() || has_url())
    }

    /// The column of the target: `url` or `filePath`.
    #[must_use]
    pub fn column(&self) -> &'static str {
        if self.url().is_some() { "url" } else { "filePath" }
    }
}

/// The suffix starting at the first `mark`.
fn suffix_from(text: &str, mark: char) -> Option<&str> {
    text.get(text.find(mark)?..)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Option<Target> {
        Target::from_url(text).ok()
    }

    #[test]
    fn url_is_normalized_without_transformations_and_query() {
        let shoe = Target::kept("//ik.imagekit.io/acct/products/a shoe.jpg");
        for text in [
            "https://ik.imagekit.io/acct/products/a%20shoe.jpg",
            "http://ik.imagekit.io/acct/products/a shoe.jpg",
            "HTTPS://IK.ImageKit.io/acct/products/a%20shoe.jpg#top",
            "https://ik.imagekit.io/acct/products/a%20shoe.jpg?updatedAt=1&tr=w-100/h-2",
            "https://ik.imagekit.io/acct/tr:w-100,h-200:rt-90/products/a%20shoe.jpg",
            "https://ik.imagekit.io/acct/products/tr%3Aw-100/a%20shoe.jpg?tr=h-1",
        ] {
            assert_eq!(url(text), Some(shoe.clone()), "{text}");
        }
        assert_eq!(shoe.file_path(), "/products/a shoe.jpg");
    }

    #[test]
    fn shared_host_paths_start_with_the_account() {
        for (text, path) in [
            ("https://ik.imagekit.io/acct/a.jpg", "/a.jpg"),
            ("https://ik.imagekit.io/acct/b/a.jpg", "/b/a.jpg"),
            ("https://images.example.com/b/a.jpg", "/b/a.jpg"),
            ("https://images.example.com/a.jpg", "/a.jpg"),
            ("https://ik.imagekit.io.example.com/b/a.jpg", "/b/a.jpg"),
        ] {
            assert_eq!(url(text).expect(text).file_path(), path);
        }
    }

    #[test]
    fn path_segments_are_kept() {
        for (text, path) in [
            ("https://example.com/a/ik-thumbnail.jpg", "/a/ik-thumbnail.jpg"),
            ("https://example.com/-/a.jpg", "/-/a.jpg"),
            ("https://example.com/A%2B+b%25.jpg", "/A++b%.jpg"),
            ("https://example.com/gr%C3%B6%C3%9Fe/日本.jpg", "/größe/日本.jpg"),
            ("https://example.com/atr:w/b.jpg", "/atr:w/b.jpg"),
        ] {
            assert_eq!(url(text).expect(text).file_path(), path);
        }
    }

    #[test]
    fn urls_without_a_file_are_rejected() {
        for text in [
            "ik.imagekit.io/acct/a.jpg",
            "//ik.imagekit.io/acct/a.jpg",
            "ftp://ik.imagekit.io/acct/a.jpg",
            "https:///a.jpg",
            "https://ik.imagekit.io",
            "https://ik.imagekit.io/",
            "https://ik.imagekit.io/acct",
            "https://ik.imagekit.io/acct/",
            "https://ik.imagekit.io/acct/tr:w-100",
            "https://images.example.com/tr:w-100?x",
            "https://ik.imagekit.io/acct//a.jpg",
            "https://ik.imagekit.io/acct/a%2Fb.jpg",
            "https://ik.imagekit.io/acct/%FF.jpg",
            "https://ik.imagekit.io/acct/a%00.jpg",
            "https://me@ik.imagekit.io/acct/a.jpg",
            "/acct/a.jpg",
        ] {
            assert_eq!(url(text), None, "{text}");
        }
    }

    #[test]
    fn path_starts_at_root_and_ends_in_name() {
        for path in ["/a.jpg", "/products/a \"b\" 100%.jpg", "/größe/日本.jpg"] {
            assert_eq!(Target::from_path(path).expect(path).file_path(), path);
        }
        for problem in
            ["a.jpg", "products/a.jpg", "/", "/products/", "//a.jpg", "/a//b.jpg", "/a\nb"]
        {
            assert!(Target::from_path(problem).is_err(), "{problem}");
        }
    }

    #[test]
    fn file_matches_any_spelling_of_its_url() {
        let target = url("https://ik.imagekit.io/acct/tr:w-9/gr%C3%B6%C3%9Fe.jpg").unwrap();
        let is = |path: &str, url: &str| target.matches(path, Some(url));
        assert!(is("/größe.jpg", "https://ik.imagekit.io/acct/gr%C3%B6%C3%9Fe.jpg?updatedAt=1"));
        assert!(is("/größe.jpg", "https://ik.imagekit.io/acct/größe.jpg"));
        assert!(!is("/größe.jpg", "https://ik.imagekit.io/other/größe.jpg"));
        assert!(!is("/größe.jpg", "https://images.example.com/größe.jpg"));
        assert!(!is("/Größe.jpg", "https://ik.imagekit.io/acct/größe.jpg"));
        assert!(!target.matches("/größe.jpg", None));
        assert!(Target::from_path("/größe.jpg").unwrap().matches("/größe.jpg", None));
    }
}
