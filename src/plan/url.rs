//! The target's URL: taken apart once, and never shown with its password.
//!
//! ```text
//! http://me:secret@[fe80::1%25eth0]:8001/a/../b?q='x'#part
//! ╰──╯   ╰───────╯  ╰─────╯   ╰──╯ ╰──╯╰─────╯ ╰───╯ ╰──╯
//! scheme   user      host     zone port  path  query fragment
//! ```
//!
//! Path and query are sent as typed, `%2e`, `..` and `//` too: a signature, a cache key or a filter
//! depends on the bytes. (curl differs in one thing: it removes dot segments, unless `--path-as-is`
//! is given.) Only what HTTP cannot carry is changed: characters beyond ASCII are percent-encoded
//! in the path, as curl does, and a host becomes its DNS name. Then [`Endpoint::sent_as`] says so.

use super::{redaction, unix_socket};
use crate::kernel::UnixSocket;
use crate::words::UsageError;
use base64::Engine;
use percent_encoding::{CONTROLS, percent_decode_str, utf8_percent_encode};
use std::net::Ipv6Addr;
use url::Host;

/// What a URL says about the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The URL as it may be shown: without user and password.
    pub url: String,
    /// A name or an address, without brackets; behind an address of one link, `%` and its
    /// interface.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The Host header: with the port when it is not the scheme's own, and without an interface.
    pub host_header: String,
    /// Path and query.
    pub target: String,
    /// The Authorization header, from `user:password@`.
    pub authorization: Option<String>,
    /// Where connections go instead of host and port.
    pub socket: Option<UnixSocket>,
}

impl Endpoint {
    /// Takes a URL apart; without a scheme it is http.
    ///
    /// # Errors
    /// The reason, and the accepted form.
    pub fn parse(text: &str) -> Result<Endpoint, UsageError> {
        if let Some(cure) = unix_socket::cure(text) {
            let text = redaction::broken_url(text);
            return Err(UsageError(format!("URL {}: {cure}", text.escape_debug())));
        }
        Endpoint::of(text).map_err(|why| {
            UsageError(format!(
                "URL {}: {why}; give http://host[:port]/path",
                redaction::broken_url(text).escape_debug()
            ))
        })
    }

    fn of(text: &str) -> Result<Endpoint, String> {
        if text.contains(|c: char| c.is_control() || c == ' ') {
            return Err("white space and control characters must be percent-encoded".into());
        }
        let typed = Typed::split(text);
        match typed.scheme {
            Some(scheme) if !scheme.eq_ignore_ascii_case("http") => {
                return Err(format!("the scheme {scheme} is not supported"));
            }
            _ => {}
        }
        let place = typed.place().map_err(|why| typed.unless_password(why))?;
        if typed.ends_in_password() {
            return Err(IN_PASSWORD.into());
        }
        let path = if typed.path.is_empty() { "/" } else { typed.path };
        let path = utf8_percent_encode(path, CONTROLS).to_string();
        let target = typed.query.map_or(path.clone(), |query| format!("{path}?{query}"));
        let port = if place.port == HTTP_PORT { String::new() } else { format!(":{}", place.port) };
        let (host, shown) = match (&place.zone, &place.name) {
            (Some(zone), name) => {
                let address = name.trim_matches(['[', ']']);
                (format!("{address}%{zone}"), format!("[{address}%25{zone}]"))
            }
            (None, name) => (name.trim_matches(['[', ']']).to_owned(), name.clone()),
        };
        Ok(Endpoint {
            url: format!("http://{shown}{port}{target}"),
            host,
            port: place.port,
            host_header: format!("{}{port}", place.name),
            target,
            authorization: typed.user.and_then(authorization),
            socket: None,
        })
    }

    /// The note for a URL that the server sees differently from how it was typed.
    pub fn sent_as(&self, typed: &str) -> Option<String> {
        let parts = Typed::split(typed);
        let path = if parts.path.is_empty() { "/" } else { parts.path };
        let target = parts.query.map_or(path.to_owned(), |query| format!("{path}?{query}"));
        let host = match parts.host.strip_prefix('[') {
            Some(address) => address.split(['%', ']']).next().unwrap_or_default(),
            None => parts.host,
        };
        let is_same = target == self.target
            && host == self.host.split('%').next().unwrap_or_default()
            && parts.fragment.is_none_or(str::is_empty);
        let typed = redaction::url(typed);
        (!is_same).then(|| format!("URL {typed}: sent as {}", self.url))
    }
}

const HTTP_PORT: u16 = 80;

const IN_PASSWORD: &str = "`#`, `?` and `/` in a user name or a password must be percent-encoded \
                           as %23, %3F and %2F";

/// A URL in its parts (RFC 3986 §3), none of which is changed.
struct Typed<'t> {
    scheme: Option<&'t str>,
    user: Option<&'t str>,
    /// An address of IPv6 with its brackets.
    host: &'t str,
    /// The part after the host, as a rule a colon and digits.
    port: &'t str,
    path: &'t str,
    query: Option<&'t str>,
    fragment: Option<&'t str>,
}

/// Where the server is.
struct Authority {
    /// As in the Host header.
    name: String,
    zone: Option<String>,
    port: u16,
}

impl<'t> Typed<'t> {
    fn split(text: &'t str) -> Typed<'t> {
        let (scheme, rest) = match redaction::scheme(text) {
            // Surplus slashes are ignored, as curl does.
            Some(scheme) => (Some(scheme), text[scheme.len() + 3..].trim_start_matches('/')),
            None => (None, text),
        };
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (tail, fragment) = either(tail, '#');
        let (path, query) = either(tail, '?');
        // A password may have an `@`, a host never has.
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let host_end = match place.starts_with('[') {
            true => place.find(']').map(|end| end + 1),
            false => place.find(':'),
        };
        let host_end = host_end.unwrap_or(place.len());
        let (host, port) = place.split_at(host_end);
        Typed { scheme, user, host, port, path, query, fragment }
    }

    fn place(&self) -> Result<Authority, String> {
        let is_scheme = |name: &str| self.host.eq_ignore_ascii_case(name);
        if self.scheme.is_none() && self.port.starts_with(':') && is_scheme("http") {
            return Err("two slashes are missing after http:".into());
        }
        let port = match self.port.strip_prefix(':') {
            None if self.port.is_empty() => HTTP_PORT,
            Some("") => HTTP_PORT,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().unwrap_or(0)
            }
            Some(_) if format!("{}{}", self.host, self.port).parse::<Ipv6Addr>().is_ok() => {
                return Err("an IPv6 address needs brackets".into());
            }
            _ => 0,
        };
        if port == 0 {
            return Err("the port is not within 1-65535".into());
        }
        if self.host.is_empty() {
            return Err("the host is missing".into());
        }
        if self.host.starts_with('[') && !self.host.ends_with(']') {
            return Err("a bracket is not closed".into());
        }
        let (name, zone) = match self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']'))
        {
            Some(literal) => literal_address(literal)?,
            None => (name(self.host)?, None),
        };
        Ok(Authority { name, zone, port })
    }

    /// The reason why there is no target, or a better one: the rest of a password with a delimiter
    /// in it looks like a path, and its start like a port.
    fn unless_password(&self, why: String) -> String {
        let behind = [Some(self.path), self.query, self.fragment];
        let has_at = |part: &str| part.contains('@');
        if behind.into_iter().flatten().any(has_at) { IN_PASSWORD.into() } else { why }
    }

    /// Whether an apparent fragment after a port is rather the rest of a password.
    fn ends_in_password(&self) -> bool {
        let has_at = self.fragment.is_some_and(|fragment| fragment.contains('@'));
        let bare = self.user.is_none() && self.path.is_empty() && self.query.is_none();
        has_at && bare && !self.port.is_empty()
    }
}

/// The part before a delimiter, and the part after it if there is one.
fn either(text: &str, delimiter: char) -> (&str, Option<&str>) {
    text.split_once(delimiter).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

/// A name, or an address of IPv4, as DNS and the Host header know it; the case is left alone.
fn name(typed: &str) -> Result<String, String> {
    let host = Host::parse(typed).map_err(|error| error.to_string())?;
    let is_plain = typed.is_ascii() && !typed.contains('%');
    Ok(match host {
        Host::Domain(_) if is_plain => typed.to_owned(),
        host => host.to_string(),
    })
}

/// The text between brackets: an address of IPv6, and the interface of its link (RFC 6874, and as
/// most programs print it: with a bare `%`).
fn literal_address(literal: &str) -> Result<(String, Option<String>), String> {
    let (address, zone) = either(literal, '%');
    let Ok(ip) = address.parse::<Ipv6Addr>() else {
        return Err("the text in brackets is not an IPv6 address".into());
    };
    // `%25` alone is the interface with this number.
    let zone =
        zone.map(|zone| zone.strip_prefix("25").filter(|name| !name.is_empty()).unwrap_or(zone));
    match zone {
        Some("") => Err(format!("the interface is missing after {ip}%")),
        None if ip.is_unicast_link_local() => Err(format!(
            "{ip} is a link-local address, so it needs an interface, as in http://[{ip}%25eth0]/"
        )),
        zone => Ok((format!("[{ip}]"), zone.map(String::from))),
    }
}

/// Basic authentication (RFC 7617) from the URL's user and password.
fn authorization(user: &str) -> Option<String> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    if user.is_empty() {
        return None;
    }
    let mut credentials: Vec<u8> = percent_decode_str(name).collect();
    credentials.push(b':');
    credentials.extend(percent_decode_str(password));
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    Some(format!("Basic {encoded}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Endpoint {
        Endpoint::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_url_is_taken_apart() {
        let cases = [
            ("http://a/", "a", 80, "a", "/"),
            ("http://a", "a", 80, "a", "/"),
            ("http://a:80/", "a", 80, "a", "/"),
            ("http://a:/", "a", 80, "a", "/"),
            ("http://a:08080/", "a", 8080, "a:8080", "/"),
            ("http://a:8080/x?y=1#z", "a", 8080, "a:8080", "/x?y=1"),
            ("http://a?y=1", "a", 80, "a", "/?y=1"),
            ("http://a#z", "a", 80, "a", "/"),
            ("HTTP://A.Example/", "A.Example", 80, "A.Example", "/"),
            ("http:///a/b", "a", 80, "a", "/b"),
            ("localhost:8080/x", "localhost", 8080, "localhost:8080", "/x"),
            ("http://127.1/", "127.0.0.1", 80, "127.0.0.1", "/"),
            ("http://loc%61lhost/", "localhost", 80, "localhost", "/"),
            ("http://bücher.example/", "xn--bcher-kva.example", 80, "xn--bcher-kva.example", "/"),
            ("http://[::1]:9/", "::1", 9, "[::1]:9", "/"),
            ("http://[0:0::1]/", "::1", 80, "[::1]", "/"),
            ("http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1", 80, "[::ffff:127.0.0.1]", "/"),
            ("http://127.0.0.1\\@b/", "b", 80, "b", "/"),
        ];
        for (text, host, port, host_header, target) in cases {
            let endpoint = parsed(text);
            assert_eq!(
                (&*endpoint.host, endpoint.port, &*endpoint.host_header, &*endpoint.target),
                (host, port, host_header, target),
                "{text}"
            );
            assert_eq!(endpoint.url, format!("http://{host_header}{target}"));
        }
    }

    #[test]
    fn path_and_query_arrive_as_they_are_typed() {
        for target in [
            "/p'q?s='t'&x=\"y\"",
            "/%2e/a/%2E%2e/%zz%",
            "//a//b/",
            "/a/../b/./c/..",
            "/a\\b?\\",
            "/{a}|b^c`d<e>f[g]",
            "/a??b?=&;",
            "/a?",
            "/?next=https://u@a:1/b",
            "/?ö",
        ] {
            let endpoint = parsed(&format!("a:8080{target}"));
            assert_eq!(endpoint.target, target);
            assert_eq!(endpoint.sent_as(&format!("http://x:y@a:8080{target}")), None);
        }
    }

    #[test]
    fn what_has_to_change_is_said() {
        for (text, expected) in [
            ("http://a/ä", "URL http://a/ä: sent as http://a/%C3%A4"),
            ("http://me:secret@a/b#c", "URL http://me:***@a/b#c: sent as http://a/b"),
            ("http://ä.example", "URL http://ä.example: sent as http://xn--4ca.example/"),
            ("127.1:8080/", "URL 127.1:8080/: sent as http://127.0.0.1:8080/"),
        ] {
            assert_eq!(parsed(text).sent_as(text).as_deref(), Some(expected));
        }
        for text in ["http://a:80", "a?b", "http://[fe80::1%eth0]:9/", "A.b/#", "http://a:/"] {
            assert_eq!(parsed(text).sent_as(text), None);
        }
    }

    #[test]
    fn a_scheme_stands_at_the_begin_and_nowhere_else() {
        for text in
            ["localhost:8080/go?next=http://a/b", "127.0.0.1/login?next=https://a/", "a/x://"]
        {
            assert!(text.ends_with(&parsed(text).target), "{text}");
        }
        for (text, scheme) in [("https://a/", "https"), ("a+b-1.c://x", "a+b-1.c")] {
            let error = Endpoint::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("the scheme {scheme} is not supported")), "{error}");
        }
    }

    #[test]
    fn an_address_of_one_link_has_an_interface_and_does_not_tell_it() {
        for (text, host) in [
            ("http://[fe80::1%25eth0]:8001/", "fe80::1%eth0"),
            ("http://[fe80::1%eth0]:8001/", "fe80::1%eth0"),
            ("http://[FE80::1%252]:8001/", "fe80::1%2"),
            ("http://[fe80::1%2]:8001/", "fe80::1%2"),
            ("http://[fe80::1%25]:8001/", "fe80::1%25"),
        ] {
            let endpoint = parsed(text);
            assert_eq!(
                (&*endpoint.host, &*endpoint.host_header),
                (host, "[fe80::1]:8001"),
                "{text}"
            );
            let again = parsed(&endpoint.url);
            assert_eq!((again.host, again.host_header), (endpoint.host, endpoint.host_header));
        }
    }

    #[test]
    fn what_cannot_be_a_target_is_refused_with_the_accepted_form() {
        let password = "`#`, `?` and `/` in a user name or a password";
        let cases = [
            ("ftp://a/", "scheme ftp"),
            ("http://a:65536/", "1-65535"),
            ("http://a:0/", "1-65535"),
            ("http://a:+80/", "1-65535"),
            ("http://a:80\\x", "1-65535"),
            ("http://[::1]80/", "1-65535"),
            ("http://::1/", "brackets"),
            ("http://fe80::1/", "brackets"),
            ("http://", "host"),
            ("http:///", "host"),
            ("http://:80/", "host"),
            ("://a", "host"),
            ("/a", "host"),
            ("", "host"),
            ("http:/a/b", "two slashes"),
            ("http:a/b", "two slashes"),
            ("http://a<b/", "domain"),
            ("http://[::g]/", "not an IPv6 address"),
            ("http://[::1/", "bracket is not closed"),
            ("http://[a/", "bracket is not closed"),
            ("http://[fe80::1]/", "http://[fe80::1%25eth0]/"),
            ("http://[fe80::1%]/", "interface is missing"),
            ("http://a/b c", "percent-encoded"),
            ("http://a/\r\nX: y", "percent-encoded"),
            ("http://u:p#q@a/", password),
            ("http://u:p?q@a/", password),
            ("http://u:p/q@a/", password),
            ("http://u:1234#q@a/", password),
        ];
        for (text, expected) in cases {
            let error = Endpoint::parse(text).expect_err(text).to_string();
            assert!(error.contains(expected) && error.contains("give http://"), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_becomes_a_header_and_is_never_shown() {
        for (text, expected) in [
            ("http://Aladdin:open%20sesame@a/", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("http://:p@a/", "Basic OnA="),
            ("http://u@a/", "Basic dTo="),
            ("http://u:p@q:r@a/", "Basic dTpwQHE6cg=="),
        ] {
            let endpoint = parsed(text);
            assert_eq!(endpoint.authorization.as_deref(), Some(expected), "{text}");
            assert_eq!(endpoint.url, "http://a/");
        }
        assert_eq!(parsed("http://@a/").authorization, None);
        for text in
            ["ftp://me:secret@a/", "http://me:p/secret@a/", "me:p?secret@a:0", "x@y:secret@ "]
        {
            let error = Endpoint::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_what_is_sent(text in "(http://)?([a-z]{1,4}:?[a-z]{0,3}@)?\\PC{0,20}") {
            if let Ok(endpoint) = Endpoint::parse(&text) {
                let again = parsed(&endpoint.url);
                prop_assert_eq!(again.sent_as(&endpoint.url), None);
                prop_assert_eq!(Endpoint { authorization: None, ..endpoint }, again);
            }
        }
    }
}
