//! The headers of the request, from three places: typed (`-H 'Name: value'`), in a file
//! (`-H @FILE`), with variables of the environment (`--expand-header 'Name: {{VARIABLE}}'`).
//!
//! The last two are for secrets: command-line arguments are visible to every user in `ps`, and stay
//! in the shell history. Both use curl's syntax. A variable has a flag of its own so that a value
//! of `-H` never means something other than what it says. No shell expands `{{`, so wrong quotes
//! cannot turn a variable into the secret on the command line.
//!
//! ```text
//!   -H 'Name: value'            ─┐
//!   -H @FILE        ─► lines    ─┼─► (name, value) ...
//!   --expand-header ─► expanded ─┘        │
//!                          └──────────────┴─► hidden: values that no output may show
//! ```

use super::parse;
use crate::plan::flags::RunArgs;
use crate::words::UsageError;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;

/// More than any server takes. An endless input is not read further.
const FILE_BYTES_MAX: u64 = 1 << 20;

const FLAG: &str = "--header";
const EXPAND: &str = "--expand-header";

/// Headers, and which of their values must not be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Headers {
    pub(super) all: Vec<(String, Vec<u8>)>,
    /// The values that came from a file or the environment.
    pub(super) hidden: Vec<Vec<u8>>,
}

impl Headers {
    /// Reads the headers that the flags name.
    ///
    /// # Errors
    /// The flag, the file and the line, or the variable; never a value.
    pub(super) fn of(args: &RunArgs) -> Result<Headers, UsageError> {
        let mut headers = Headers::default();
        for text in &args.headers {
            match text.strip_prefix('@') {
                Some(file) => headers.hide(in_file(file)?),
                None => headers.all.push(parse::header(FLAG, text.as_bytes())?),
            }
        }
        for text in &args.expand_headers {
            headers.hide(vec![expanded(text, |name| std::env::var_os(name))?]);
        }
        Ok(headers)
    }

    fn hide(&mut self, headers: Vec<(String, Vec<u8>)>) {
        let values = headers.iter().map(|(_, value)| value.clone());
        self.hidden.extend(values.filter(|value| !value.is_empty()));
        self.all.extend(headers);
    }
}

fn refuse<T>(flag: &str, value: &str, why: &str) -> Result<T, UsageError> {
    Err(UsageError(format!("{flag} {}: {why}", value.escape_debug())))
}

fn in_file(name: &str) -> Result<Vec<(String, Vec<u8>)>, UsageError> {
    let shown = format!("@{name}");
    let mut text = Vec::new();
    let read = match name {
        "-" => io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_end(&mut text),
        _ => File::open(name).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)),
    };
    match read {
        Err(error) => refuse(FLAG, &shown, &format!("{error}; give the name of a readable file")),
        Ok(length) if length as u64 > FILE_BYTES_MAX => {
            refuse(FLAG, &shown, "it is longer than 1 MiB; give one header per line")
        }
        Ok(_) => lines(&shown, &text),
    }
}

/// One header on each line; empty ones and comments are left out.
fn lines(shown: &str, text: &[u8]) -> Result<Vec<(String, Vec<u8>)>, UsageError> {
    let mut headers = Vec::new();
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() || line.starts_with(b"#") {
            continue;
        }
        // Not which header: half a secret may stand where its name should.
        let header = parse::header(FLAG, line).map_err(|_| {
            let shown = shown.escape_debug();
            UsageError(format!("{FLAG} {shown}: line {number}: {}", parse::HEADER_ACCEPTED))
        })?;
        headers.push(header);
    }
    match headers.is_empty() {
        true => refuse(FLAG, shown, "there is no header in it; give one `Name: value` per line"),
        false => Ok(headers),
    }
}

/// `Name: text {{VARIABLE}} text`, with as many variables as wanted.
fn expanded(
    text: &str,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<(String, Vec<u8>), UsageError> {
    let accepted = "give `Name: value` with an environment variable in the value, as in \
                    'Authorization: Bearer {{TOKEN}}'";
    let name = text.split(':').next().filter(|_| text.contains(':')).unwrap_or("");
    let refuse = |why: &str| refuse(EXPAND, name, why);
    let Some((_, value)) = text.split_once(':') else { return refuse(accepted) };
    let (mut whole, mut rest) = (format!("{name}:").into_bytes(), value);
    if !rest.contains("{{") {
        return refuse(accepted);
    }
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((variable_name, after)) = after.split_once("}}") else { return refuse(accepted) };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if variable_name.is_empty() || !variable_name.chars().all(plain) {
            return refuse(accepted);
        }
        match variable(variable_name) {
            Some(value) if !value.is_empty() => {
                whole.extend_from_slice(before.as_bytes());
                whole.extend(value.into_vec());
            }
            found => {
                let state = if found.is_some() { "empty" } else { "not set" };
                let why = format!("the variable {variable_name} is {state}; export it");
                return refuse(&why);
            }
        }
        rest = after;
    }
    whole.extend_from_slice(rest.as_bytes());
    parse::header(EXPAND, &whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &[u8]) -> (String, Vec<u8>) {
        (name.into(), value.to_vec())
    }

    #[test]
    fn a_file_has_a_header_on_each_line() {
        let text =
            b"# for staging\r\nAuthorization: Bearer a:b#c \r\n\r\n  \nX-Empty:\nX-Latin: \xe4";
        let expected = [
            header("Authorization", b"Bearer a:b#c"),
            header("X-Empty", b""),
            header("X-Latin", b"\xe4"),
        ];
        assert_eq!(lines("@f", text).unwrap(), expected);
    }

    #[test]
    fn errors_name_the_file_and_the_line_and_show_nothing_of_it() {
        for (text, expected) in [
            (&b"A: b\nsecret\n"[..], "--header @f: line 2: give `Name: value`"),
            (b"#\n\nA: b\n secret: folded\n", "--header @f: line 4: give"),
            (b"se cret: b\n", "--header @f: line 1: give"),
            (b"A: secret\0\n", "--header @f: line 1: give"),
            (b"A: secret\rB: c\n", "--header @f: line 1: give"),
            (b"", "--header @f: there is no header in it"),
            (b"# only this\n", "--header @f: there is no header in it"),
        ] {
            let error = lines("@f", text).unwrap_err().0;
            assert!(error.starts_with(expected) && !error.contains("secret"), "{error}");
        }
        let error = in_file("/nowhere/\x1b").unwrap_err().0;
        assert!(error.starts_with(r"--header @/nowhere/\u{1b}: No such file"), "{error}");
        assert!(in_file("/dev/zero").unwrap_err().0.contains("longer than 1 MiB"));
        assert!(in_file("/dev/null").unwrap_err().0.contains("no header"));
        assert!(in_file("/").unwrap_err().0.contains("readable file"));
    }

    #[test]
    fn variables_are_expanded_where_they_are_named() {
        let variable = |name: &str| match name {
            "TOKEN" => Some(OsString::from("s3cret}}{{X}}")),
            "BYTES" => Some(OsString::from_vec(vec![0xe4])),
            "EMPTY" => Some(OsString::new()),
            "LINES" => Some(OsString::from("s3cret\nX: y")),
            _ => None,
        };
        for (text, expected) in [
            ("Authorization: Bearer {{TOKEN}}", header("Authorization", b"Bearer s3cret}}{{X}}")),
            ("A:{{BYTES}}-{{BYTES}} $HOME", header("A", b"\xe4-\xe4 $HOME")),
        ] {
            assert_eq!(expanded(text, variable).unwrap(), expected);
        }
        for (text, expected) in [
            ("A: {{NONE}}", "--expand-header A: the variable NONE is not set; export it"),
            ("A: {{EMPTY}}", "--expand-header A: the variable EMPTY is empty; export it"),
            ("A: {{TOKEN}} {{", "--expand-header A: give `Name: value` with an environment"),
            ("A: {{TOK EN}}", "--expand-header A: give `Name: value` with an environment"),
            ("A: {{}}", "--expand-header A: give"),
            ("A: $TOKEN", "--expand-header A: give"),
            ("{{TOKEN}}", "--expand-header : give"),
            ("{{TOKEN}}: a", "--expand-header {{TOKEN}}: give"),
            ("A: {{LINES}}", "--expand-header A: give `Name: value`, without line breaks"),
        ] {
            let error = expanded(text, variable).unwrap_err().0;
            assert!(error.starts_with(expected) && !error.contains("s3cret"), "{text}: {error}");
        }
    }
}
