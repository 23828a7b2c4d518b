//! The target's URL: taken apart once, and never shown with its password.

use super::{UsageError, redaction};
use base64::Engine;
use percent_encoding::percent_decode_str;

/// What a URL says about the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The URL as it may be shown: without user and password.
    pub url: String,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The Host header: with the port when it is not the scheme's own.
    pub host_header: String,
    /// Path and query.
    pub target: String,
    /// The Authorization header, from `user:password@`.
    pub authorization: Option<String>,
}

impl Endpoint {
    /// Takes a URL apart; without a scheme it is http.
    ///
    /// # Errors
    /// What is wrong with it, and the accepted form.
    pub fn parse(text: &str) -> Result<Endpoint, UsageError> {
        let refuse = |why: &str| {
            Err(UsageError(format!(
                "URL {}: {why}; give http://host[:port]/path",
                redaction::broken_url(text).escape_debug()
            )))
        };
        let with_scheme = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        if text.contains(|c: char| c.is_control() || c == ' ') {
            return refuse("white space and control characters must be percent-encoded");
        }
        let url = match url::Url::parse(&with_scheme) {
            Ok(url) => url,
            Err(url::ParseError::InvalidPort) => return refuse("the port is not within 1-65535"),
            Err(error) => return refuse(&error.to_string()),
        };
        if url.scheme() != "http" {
            return refuse(&format!("the scheme {} is not supported", url.scheme()));
        }
        let port = url.port_or_known_default().unwrap_or(80);
        let Some(host) = url.host() else { return refuse("the host is missing") };
        if port == 0 {
            return refuse("the port is not within 1-65535");
        }
        let shown_host = host.to_string();
        let mut shown = url.clone();
        // Both can only fail for URLs without a host.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        shown.set_fragment(None);
        let query = url.query().map_or(String::new(), |query| format!("?{query}"));
        Ok(Endpoint {
            url: shown.to_string(),
            host: shown_host.trim_matches(['[', ']']).to_owned(),
            port,
            host_header: url.port().map_or(shown_host.clone(), |p| format!("{shown_host}:{p}")),
            target: format!("{}{query}", url.path()),
            authorization: authorization(&url),
        })
    }
}

/// Basic authentication (RFC 7617) from the URL's user and password.
fn authorization(url: &url::Url) -> Option<String> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut credentials: Vec<u8> = percent_decode_str(url.username()).collect();
    credentials.push(b':');
    credentials.extend(percent_decode_str(url.password().unwrap_or("")));
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    Some(format!("Basic {encoded}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let cases = [
            ("http://a/", "a", 80, "a", "/"),
            ("http://a", "a", 80, "a", "/"),
            ("http://a:80/", "a", 80, "a", "/"),
            ("http://a:8080/x?y=1#z", "a", 8080, "a:8080", "/x?y=1"),
            ("localhost:8080/x", "localhost", 8080, "localhost:8080", "/x"),
            ("http://[::1]:9/", "::1", 9, "[::1]:9", "/"),
            ("http://127.0.0.1/ä", "127.0.0.1", 80, "127.0.0.1", "/%C3%A4"),
        ];
        for (text, host, port, host_header, target) in cases {
            let endpoint = Endpoint::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (&*endpoint.host, endpoint.port, &*endpoint.host_header, &*endpoint.target),
                (host, port, host_header, target),
                "{text}"
            );
        }
    }

    #[test]
    fn what_cannot_be_a_target_is_refused_with_the_accepted_form() {
        let cases = [
            ("https://a/", "scheme https"),
            ("ftp://a/", "scheme ftp"),
            ("http://a:65536/", "1-65535"),
            ("http://a:0/", "1-65535"),
            ("http://", "host"),
            ("", "host"),
            ("http://a/b c", "percent-encoded"),
            ("http://a/\r\nX: y", "percent-encoded"),
        ];
        for (text, expected) in cases {
            let error = Endpoint::parse(text).expect_err(text).to_string();
            assert!(error.contains(expected) && error.contains("give http://"), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_becomes_a_header_and_is_never_shown() {
        let endpoint = Endpoint::parse("http://Aladdin:open%20sesame@a/").unwrap();
        assert_eq!(endpoint.authorization.unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(endpoint.url, "http://a/");
        for text in
            ["ftp://me:secret@a/", "http://me:p/secret@a/", "me:p?secret@a:0", "x@y:secret@ "]
        {
            let error = Endpoint::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
