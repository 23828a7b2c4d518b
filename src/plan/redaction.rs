//! The words of a command line as documents, reports and errors may show them: without the
//! credentials of a URL, the values of headers that carry some, and the body.
//!
//! ```text
//!   http://me:secret@host/      http://me:***@host/
//!   -HAuthorization:Bearer x    -HAuthorization: ***
//!   --body=user=me&pin=1234     --body=<16 bytes>
//! ```
//!
//! If the parser has identified a word, that decides; otherwise (in a usage error) its form does.

use crate::plan::flags::RunArgs;

/// Parts of the names of headers whose values are secrets.
const SECRET_NAMES: [&str; 9] =
    ["auth", "cookie", "token", "secret", "key", "passw", "session", "credential", "signature"];

/// The whole command line, as it was taken apart into these arguments.
pub(super) fn command(words: &[String], args: &RunArgs) -> Vec<String> {
    let before = std::iter::once("").chain(words.iter().map(String::as_str));
    let shown = |(before, word): (&str, &String)| {
        if args.url.as_ref() == Some(word) {
            url(word)
        } else if args.headers.contains(word) || args.expand_headers.contains(word) {
            header(word, true).unwrap_or_else(|| word.clone())
        } else {
            let body = args.body.as_deref().and_then(|body| without_body(before, word, body));
            body.unwrap_or_else(|| redact(word))
        }
    };
    before.zip(words).map(shown).collect()
}

/// A word that the parser has not identified.
pub(crate) fn redact(word: &str) -> String {
    header(word, false).unwrap_or_else(|| url(word))
}

/// A URL that cannot be taken apart: wherever its password may end, it is before the last `@`.
pub(super) fn broken_url(text: &str) -> String {
    match text.rfind('@') {
        Some(at) => format!("{}***{}", &text[..authority_at(text)], &text[at..]),
        None => text.to_owned(),
    }
}

/// Whether a header of this name carries credentials.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// The scheme at the start of a URL (RFC 3986 §3.1), if there is one.
pub(super) fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once("://")?;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(is_part))
        .then_some(scheme)
}

/// Where user, password and host start. Surplus slashes are skipped, as the parser does.
fn authority_at(url: &str) -> usize {
    let Some(scheme) = scheme(url) else { return 0 };
    let rest = url[scheme.len()..].trim_start_matches([':', '/']);
    url.len() - rest.len()
}

/// A URL without the user and the password of its own, and of any that it has in it.
pub(super) fn url(text: &str) -> String {
    let inner = text.match_indices("://").map(|(at, mark)| at + mark.len());
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for authority_at in std::iter::once(authority_at(text)).chain(inner) {
        if authority_at < from {
            continue;
        }
        let authority = &text[authority_at..];
        let authority = &authority[..authority.find(['/', '?', '#']).unwrap_or(authority.len())];
        let Some(user_len) = authority.rfind('@') else { continue };
        // A name without a password is the whole of the credentials, as with many a token.
        let name_len = authority[..user_len].find(':').map_or(0, |at| at + 1);
        shown += &text[from..authority_at + name_len];
        shown += "***";
        from = authority_at + user_len;
    }
    shown + &text[from..]
}

/// A header without its value, if that is a secret; a file of headers as it is, as only its name is
/// there. A word may be known to be one of both.
fn header(word: &str, is_known: bool) -> Option<String> {
    let given = header_argument(word);
    if given.starts_with('@') && !given[1..].contains('@') {
        return Some(word.to_owned());
    }
    let (name, _) = given.split_once(':')?;
    // A dot may be in a name, but without its flag this is rather a host and its port.
    let is_known = is_known || given != word;
    let part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_name = name.trim().bytes().all(|byte| part(byte) || is_known && byte == b'.');
    let shown = || format!("{}: ***", &word[..word.len() - given.len() + name.len()]);
    (is_name && is_secret_name(name)).then(shown)
}

/// The value given to `-H`, also in the forms `-HName`, `-kHName`, `-H=Name` and `--header=Name`;
/// any other word as a whole.
fn header_argument(word: &str) -> &str {
    let long = ["--header=", "--expand-header="];
    let long = long.iter().find_map(|flag| word.strip_prefix(flag));
    let short = || match word.strip_prefix('-') {
        Some(flags) => flags.split_once('H').map(|(_, name)| name.trim_start_matches('=')),
        None => None,
    };
    long.or_else(short).unwrap_or(word)
}

/// The word with only the length of the body, if this is where the body was given: behind `--body`
/// or `-b`, or in one word with them.
fn without_body(before: &str, word: &str, body: &str) -> Option<String> {
    let is_flag = |text: &str| match text.strip_prefix('-') {
        Some(flag) => flag == "-body" || !flag.starts_with('-') && flag.ends_with('b'),
        None => false,
    };
    let flag = word.strip_suffix(body)?;
    let is_body = match flag {
        "" => is_flag(before),
        flag => is_flag(flag.strip_suffix('=').unwrap_or(flag)),
    };
    is_body.then(|| format!("{flag}<{} bytes>", body.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn a_word_shows_no_secret_that_it_looks_like() {
        let cases = [
            ("http://me:secret@host/a@b", "http://me:***@host/a@b"),
            ("http:///me:secret@host/", "http:///me:***@host/"),
            ("http://\\me:secret@host/", "http://\\me:***@host/"),
            ("http://me\\x:secret@host/", "http://me\\x:***@host/"),
            ("me:secret@host/go?next=http://a/b", "me:***@host/go?next=http://a/b"),
            ("http://h/?to=http://me:secret@a/", "http://h/?to=http://me:***@a/"),
            ("--proxy=http://me:secret@a/", "--proxy=http://me:***@a/"),
            ("me:secret@host", "me:***@host"),
            ("@me:secret@host", "@me:***@host"),
            ("http://token@host/", "http://***@host/"),
            ("http://key.example:80/a", "http://key.example:80/a"),
            ("key.example:80/a", "key.example:80/a"),
            ("http://api-key:80/a", "http://api-key:80/a"),
            ("http://host/a:b@c", "http://host/a:b@c"),
            ("Authorization: Bearer x", "Authorization: ***"),
            ("-Hauthorization:Bearer x", "-Hauthorization: ***"),
            ("--header=Cookie: a=b", "--header=Cookie: ***"),
            ("-H=Authorization: Bearer x", "-H=Authorization: ***"),
            ("-kHX-Auth-Token:x", "-kHX-Auth-Token: ***"),
            ("-HX.Auth.Token:x", "-HX.Auth.Token: ***"),
            ("X-Amz-Security-Token: x", "X-Amz-Security-Token: ***"),
            ("X-Password: x", "X-Password: ***"),
            ("X-Other: a", "X-Other: a"),
            ("--expand-header=Cookie: a={{B}}", "--expand-header=Cookie: ***"),
            ("@headers.txt", "@headers.txt"),
            ("-H@headers.txt", "-H@headers.txt"),
            ("-kH@a/token:b", "-kH@a/token:b"),
            ("--header=@headers.txt", "--header=@headers.txt"),
            ("--connections", "--connections"),
        ];
        for (word, expected) in cases {
            assert_eq!(redact(word), expected);
        }
    }

    #[test]
    fn a_command_is_shown_by_what_its_words_are() {
        let cases = [
            ("auth-server:80/a", "auth-server:80/a"),
            ("me:secret@auth:80 -H X.Token:secret", "me:***@auth:80 -H X.Token: ***"),
            ("a -H Cookie:secret@b", "a -H Cookie: ***"),
            ("a -b secret -c 6", "a -b <6 bytes> -c 6"),
            ("a -b 6 -c 6", "a -b <1 bytes> -c 6"),
            ("a -kbsecret", "a -kb<6 bytes>"),
            ("a --body=secret", "a --body=<6 bytes>"),
            ("a --body secret", "a --body <6 bytes>"),
        ];
        for (typed, expected) in cases {
            let words: Vec<String> =
                ["ringshot"].into_iter().chain(typed.split(' ')).map(String::from).collect();
            let cli = crate::plan::flags::Cli::try_parse_from(&words).expect(typed);
            assert_eq!(command(&words, &cli.run)[1..].join(" "), expected);
        }
    }
}
