//! The target's URL: taken apart once, and never shown with its password.

use super::UsageError;
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
                redact(text).escape_debug()
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

/// What is in the names of headers whose values are secrets.
const SECRET_NAMES: [&str; 5] = ["auth", "cookie", "token", "secret", "key"];

/// An argument of the command line as it may be shown: without the credentials of a URL, and
/// without the value of a header that carries some.
pub fn redact(argument: &str) -> String {
    // A file of headers: only its name is there.
    if header_argument(argument).starts_with('@') {
        return argument.to_owned();
    }
    if let Some(colon) = argument.find(':')
        && is_secret_header(&argument[..colon])
    {
        return format!("{}: ***", &argument[..colon]);
    }
    let authority_at = argument.find("://").map_or(0, |at| at + 3);
    let authority = &argument[authority_at..];
    let authority = &authority[..authority.find(['/', '?', '#']).unwrap_or(authority.len())];
    let Some(user_len) = authority.rfind('@') else { return argument.to_owned() };
    // A name without a password is the whole of the credentials, as with many a token.
    let name_len = authority[..user_len].find(':').map_or(0, |at| at + 1);
    let (before, after) = (authority_at + name_len, authority_at + user_len);
    format!("{}***{}", &argument[..before], &argument[after..])
}

/// Whether this begins a header that carries credentials. A URL is none.
fn is_secret_header(before_colon: &str) -> bool {
    is_secret_name(header_argument(before_colon))
}

/// What is given to `-H`, also as it looks in `-HName`, `-kHName`, `-H=Name` and `--header=Name`;
/// of anything else the whole.
fn header_argument(argument: &str) -> &str {
    let long = ["--header=", "--expand-header="];
    let long = long.iter().find_map(|flag| argument.strip_prefix(flag));
    let short = || match argument.strip_prefix('-') {
        Some(flags) => flags.split_once('H').map(|(_, name)| name.trim_start_matches('=')),
        None => None,
    };
    long.or_else(short).unwrap_or(argument)
}

/// Whether a header of this name carries credentials.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    is_name && SECRET_NAMES.iter().any(|secret| name.contains(secret))
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
        let error = Endpoint::parse("ftp://me:secret@a/").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn secrets_are_redacted() {
        let cases = [
            ("http://me:secret@host/a@b", "http://me:***@host/a@b"),
            ("me:secret@host", "me:***@host"),
            ("http://token@host/", "http://***@host/"),
            ("http://key.example:80/a", "http://key.example:80/a"),
            ("http://api-key:80/a", "http://api-key:80/a"),
            ("http://host/a:b@c", "http://host/a:b@c"),
            ("Authorization: Bearer x", "Authorization: ***"),
            ("-Hauthorization:Bearer x", "-Hauthorization: ***"),
            ("--header=Cookie: a=b", "--header=Cookie: ***"),
            ("-H=Authorization: Bearer x", "-H=Authorization: ***"),
            ("-kHX-Auth-Token:x", "-kHX-Auth-Token: ***"),
            ("X-Amz-Security-Token: x", "X-Amz-Security-Token: ***"),
            ("X-Other: a", "X-Other: a"),
            ("--expand-header=Cookie: a={{B}}", "--expand-header=Cookie: ***"),
            ("@headers.txt", "@headers.txt"),
            ("-H@headers.txt", "-H@headers.txt"),
            ("-kH@a/token:b", "-kH@a/token:b"),
            ("--header=@headers.txt", "--header=@headers.txt"),
            ("--connections", "--connections"),
        ];
        for (argument, expected) in cases {
            assert_eq!(redact(argument), expected);
        }
    }
}
