//! CPU lists as people write them, and pinning a thread to one of them.

use std::io;

use core_affinity::CoreId;

/// `cpu_set_t` holds this many; beyond it `sched_setaffinity` cannot be asked.
const CPU_COUNT_MAX: usize = 1024;

/// Reads a CPU list: `0,2-3` is `Some([0, 2, 3])`, `none` is `None`.
///
/// The order is kept, since thread `i` takes the `i`-th entry, and an entry may appear twice.
///
/// # Errors
///
/// A sentence that names the part of the list that cannot be read.
pub fn parse_cpu_list(text: &str) -> Result<Option<Vec<usize>>, String> {
    if text == "none" {
        return Ok(None);
    }
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (parse_cpu(first)?, parse_cpu(last)?);
        if first > last {
            return Err(format!("`{part}` runs backwards"));
        }
        cpus.extend(first..=last);
    }
    Ok(Some(cpus))
}

fn parse_cpu(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(cpu) if cpu < CPU_COUNT_MAX => Ok(cpu),
        Ok(cpu) => Err(format!("cpu {cpu} is beyond the highest possible one, 1023")),
        Err(_) => Err(format!("`{text}` is not a CPU number; expected a list such as `0,2-3`")),
    }
}

/// Pins the calling thread.
///
/// Only trying tells whether a CPU can be had: the mask that the thread inherited may be narrower
/// than what it is allowed to ask for.
pub(crate) fn pin_current_thread(cpu: usize) -> io::Result<()> {
    if cpu < CPU_COUNT_MAX && core_affinity::set_for_current(CoreId { id: cpu }) {
        return Ok(());
    }
    let allowed: Vec<String> = core_affinity::get_core_ids()
        .unwrap_or_default()
        .iter()
        .map(|core| core.id.to_string())
        .collect();
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("cannot pin a thread to cpu {cpu}; available here: {}", allowed.join(",")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_can_be_read() {
        let cases: [(&str, Option<&[usize]>); 7] = [
            ("none", None),
            ("0", Some(&[0])),
            ("0,2-3", Some(&[0, 2, 3])),
            ("3,1", Some(&[3, 1])),
            ("1-1", Some(&[1])),
            ("0, 1", Some(&[0, 1])),
            ("2,2", Some(&[2, 2])),
        ];
        for (text, expected) in cases {
            let expected = expected.map(<[usize]>::to_vec);
            assert_eq!(parse_cpu_list(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn lists_that_cannot() {
        for text in ["", ",", "0,", "a", "-1", "1-", "3-1", "0-99999999999", "1024", "None", "0x1"]
        {
            assert!(parse_cpu_list(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_unavailable_cpu_is_an_error() {
        for cpu in [1023, usize::MAX] {
            let message = pin_current_thread(cpu).unwrap_err().to_string();
            assert!(message.contains(&format!("cpu {cpu}")), "{message}");
        }
    }
}
