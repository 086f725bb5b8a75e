//! Paths, flags and words → the form in which a profile compares them.
//!
//! What changes from run to run is replaced by a mark that says what stood there: `<n>` for numbers,
//! versions, dates and hexadecimal identifiers, `<uuid>`, and `<random>` for what `mktemp` and its
//! kin invent. Two names of the same thing then are equal, and one look-up finds them. What gives
//! access to something ([`crate::sensitive`]) is never replaced.

use std::hash::Hasher as _;

use rustc_hash::FxHasher;

use crate::sensitive;

/// Longest text a node has, in bytes.
pub(crate) const MAX_TEXT: usize = 256;

/// `path` as profiles compare it.
pub fn comparable_path(path: &str) -> String {
    let mut text = String::new();
    write_path(path, &mut text);
    text
}

/// A flag as profiles compare it.
pub fn comparable_flag(flag: &str) -> String {
    let mut text = String::new();
    write_flag(flag, &mut text);
    text
}

/// Appends `path` in its comparable form: separators and dots resolved, marks for what varies.
pub(crate) fn write_path(path: &str, into: &mut String) {
    let start = into.len();
    let mut changed = false;
    // Segments that are still below a directory for temporary files.
    let mut temporary_levels = 0_u8;
    // Where a run of directories such as `3f/9a` began, which spread many files.
    let mut spread_from = None;
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                let above = into
                    .get(start..)
                    .and_then(|text| text.rfind('/'))
                    .unwrap_or(0);
                into.truncate(start + above);
                spread_from = None;
                changed = true;
            }
            _ => {
                let is_hexadecimal = segment.bytes().all(|byte| byte.is_ascii_hexdigit());
                if let Some(from) = spread_from
                    && is_identifier(segment)
                {
                    into.truncate(from);
                    into.push_str("/<n>");
                    changed = true;
                }
                if !(is_hexadecimal && segment.len() <= 2) {
                    spread_from = None;
                } else if spread_from.is_none() {
                    spread_from = Some(into.len());
                }
                if into.len() > start || path.starts_with('/') {
                    into.push('/');
                }
                let end = invented_end(segment).filter(|(name, extension)| {
                    temporary_levels > 0 || is_mkstemp(segment, name, extension)
                });
                changed |= match end {
                    Some((name, extension)) => {
                        write_segment(name, into);
                        into.push_str("<random>");
                        write_segment(extension, into);
                        true
                    }
                    None => write_segment(segment, into),
                };
                temporary_levels = if matches!(segment, "tmp" | "temp" | ".tmp" | "shm" | "partial")
                {
                    2
                } else {
                    temporary_levels.saturating_sub(1)
                };
            }
        }
        // Enough for the beginning and the test of length below; the rest is told by a hash.
        if into.len() - start > 4 * MAX_TEXT {
            break;
        }
    }
    if into.len() == start {
        into.push('/');
    }
    if changed && sensitive::of_path(path).is_some() {
        into.truncate(start);
        write_verbatim(path, into);
    }
    shorten(start, path, into);
}

/// Appends a path letter by letter, except that dots are resolved and processes lose their number.
fn write_verbatim(path: &str, into: &mut String) {
    let start = into.len();
    let is_process = path.starts_with("/proc/");
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                let above = into
                    .get(start..)
                    .and_then(|text| text.rfind('/'))
                    .unwrap_or(0);
                into.truncate(start + above);
            }
            _ => {
                if into.len() > start || path.starts_with('/') {
                    into.push('/');
                }
                if is_process && segment.bytes().all(|byte| byte.is_ascii_digit()) {
                    into.push_str("<n>");
                } else {
                    into.push_str(segment);
                }
            }
        }
    }
}

/// Appends a flag such as `--jobs=4` in its comparable form.
pub(crate) fn write_flag(flag: &str, into: &mut String) {
    let start = into.len();
    if let Some((name, value)) = flag.split_once('=') {
        write_segment(name, into);
        into.push('=');
        write_value(value, into);
    } else if let Some((name, _)) = flag.split_once('/') {
        // `-I/usr/include`: the value stands close to its flag.
        write_segment(name, into);
        write_path(flag.get(name.len()..).unwrap_or(""), into);
    } else {
        write_segment(flag, into);
    }
    shorten(start, flag, into);
}

/// Appends one word of a command in its comparable form: of addresses only scheme and host.
pub(crate) fn write_word(word: &str, into: &mut String) {
    let start = into.len();
    write_value(word, into);
    shorten(start, word, into);
}

/// Appends the text behind a shell's `-c`, word by word.
pub(crate) fn write_script(script: &str, into: &mut String) {
    let start = into.len();
    for word in script.split_ascii_whitespace() {
        if into.len() > start {
            into.push(' ');
        }
        write_value(word, into);
        if into.len() - start > 4 * MAX_TEXT {
            break;
        }
    }
    shorten(start, script, into);
}

fn write_value(value: &str, into: &mut String) {
    if let Some((scheme, rest)) = value.split_once("://") {
        // User and password of an address are nobody's business.
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        let host = authority.rsplit('@').next().unwrap_or("");
        into.push_str(scheme);
        into.push_str("://");
        into.push_str(host);
    } else if value.contains('/') {
        write_path(value, into);
    } else {
        write_segment(value, into);
    }
}

/// Cuts what was appended from `start` on to [`MAX_TEXT`] bytes; a hash of `original` keeps two
/// long texts apart.
fn shorten(start: usize, original: &str, into: &mut String) {
    if into.len() - start <= MAX_TEXT {
        return;
    }
    let mut hasher = FxHasher::default();
    hasher.write(original.as_bytes());
    let mut end = start + MAX_TEXT - 24;
    while !into.is_char_boundary(end) {
        end -= 1;
    }
    into.truncate(end);
    into.push_str(&format!("…#{:016x}", hasher.finish()));
}

/// Appends one segment; true when something was replaced.
fn write_segment(segment: &str, into: &mut String) -> bool {
    let is_plain = !segment
        .bytes()
        .any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        && !segment.starts_with("tmp");
    if is_plain {
        into.push_str(segment);
        return false;
    }
    if let Some(at) = find_uuid(segment) {
        let (before, rest) = segment.split_at(at);
        write_segment(before, into);
        into.push_str("<uuid>");
        write_segment(rest.get(UUID..).unwrap_or(""), into);
        return true;
    }
    if let Some((prefix, rest)) = temporary(segment) {
        into.push_str(prefix);
        into.push_str("<random>");
        into.push_str(rest);
        return true;
    }
    let start = into.len();
    let mut word_start = 0;
    for (at, character) in segment.char_indices() {
        if !character.is_alphanumeric() {
            write_letters(segment.get(word_start..at).unwrap_or(""), into);
            into.push(character);
            word_start = at + character.len_utf8();
        }
    }
    write_letters(segment.get(word_start..).unwrap_or(""), into);
    join_numbers(start, into);
    into.get(start..) != Some(segment)
}

/// Appends a run of letters and digits.
fn write_letters(word: &str, into: &mut String) {
    let bytes = word.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == 0 && !looks_random(bytes) {
        into.push_str(word);
    } else if digits == bytes.len() || is_identifier(word) {
        into.push_str("<n>");
    } else if looks_random(bytes) {
        into.push_str("<random>");
    } else {
        let is_letter = |at: Option<usize>| {
            at.and_then(|at| bytes.get(at))
                .is_some_and(u8::is_ascii_alphabetic)
        };
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            let end = at
                + bytes
                    .iter()
                    .skip(at)
                    .take_while(|byte| byte.is_ascii_digit())
                    .count();
            if end == at {
                // Letters beyond ASCII are copied byte by byte through their text.
                let length = word
                    .get(at..)
                    .and_then(|rest| rest.chars().next())
                    .map_or(1, char::len_utf8);
                into.push_str(word.get(at..at + length).unwrap_or(""));
                at += length;
                debug_assert!(!byte.is_ascii_digit(), "handled by the other arm");
            } else if end - at <= 2 && is_letter(at.checked_sub(1)) && is_letter(Some(end)) {
                // `md5sum`, `x11vnc`: part of a name.
                into.push_str(word.get(at..end).unwrap_or(""));
                at = end;
            } else {
                into.push_str("<n>");
                at = end;
            }
        }
    }
}

/// `<n>.<n>-<n>` → `<n>`: versions and dates of any length are one number.
fn join_numbers(start: usize, into: &mut String) {
    for separator in [".", "-", "_", ":", "+", "~"] {
        let pair = ["<n>", separator, "<n>"].concat();
        while let Some(at) = into.get(start..).and_then(|text| text.find(&pair)) {
            into.replace_range(start + at..start + at + pair.len(), "<n>");
        }
    }
}

/// True for hexadecimal identifiers: eight digits, or four if they are capitals.
fn is_identifier(word: &str) -> bool {
    let has_small = word.bytes().any(|byte| byte.is_ascii_lowercase());
    word.len() >= if has_small { 8 } else { 4 }
        && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        && word.bytes().any(|byte| byte.is_ascii_digit())
}

/// True for what a generator of names writes: letters and digits, or capitals, in no order.
fn looks_random(word: &[u8]) -> bool {
    if word.len() < 6 || !word.is_ascii() {
        return false;
    }
    let changes = word
        .windows(2)
        .filter(|pair| match pair {
            [a, b] => {
                a.is_ascii_digit() != b.is_ascii_digit()
                    || (a.is_ascii_lowercase() && b.is_ascii_uppercase())
            }
            _ => false,
        })
        .count();
    let has_capitals = word.iter().any(u8::is_ascii_uppercase);
    let least = if has_capitals {
        word.len().div_ceil(3)
    } else {
        3
    };
    changes >= least.max(2)
}

/// Names that `tempfile` (Python), gcc, sed, git and mktemp give: prefix and what follows the
/// invented part.
fn temporary(segment: &str) -> Option<(&'static str, &str)> {
    let invented = |prefix: &'static str, least: usize, most: usize| {
        let rest = segment.strip_prefix(prefix)?;
        let length = rest
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            .count();
        let after = rest.get(length..)?;
        ((least..=most).contains(&length) && (after.is_empty() || after.starts_with('.')))
            .then_some((prefix, after))
    };
    invented("tmp_obj_", 6, 6)
        .or_else(|| invented("tmp_pack_", 6, 6))
        .or_else(|| invented("tmp_idx_", 6, 6))
        .or_else(|| invented("tmp.", 6, 12))
        .or_else(|| invented("tmp-", 6, 12))
        .or_else(|| invented("tmp", 6, 10).filter(|(_, after)| !after.starts_with("fs")))
        .or_else(|| {
            invented("cc", 6, 6).filter(|(_, after)| {
                matches!(
                    *after,
                    ".s" | ".o"
                        | ".c"
                        | ".i"
                        | ".ii"
                        | ".res"
                        | ".le"
                        | ".ld"
                        | ".cdtor.o"
                        | ".cdtor.c"
                        | ".ltrans"
                        | ".lto"
                )
            })
        })
        .or_else(|| {
            let is_mixed = segment
                .bytes()
                .any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            ["sed", "sort", "php"]
                .into_iter()
                .find_map(|prefix| invented(prefix, 6, 6))
                .filter(|(_, after)| is_mixed && after.is_empty())
        })
}

/// In a directory for temporary files, what `mkstemp` and its kin append: 6, 8, 10 or 12 letters
/// behind a separator, perhaps before an extension. Prefix with the separator, and the extension.
fn invented_end(segment: &str) -> Option<(&str, &str)> {
    let behind = |end: usize, separators: &[char]| {
        let name = segment.get(..end)?;
        let at = name.rfind(separators).filter(|at| *at > 0)?;
        let last = name.get(at + 1..)?;
        let is_invented = matches!(last.len(), 6 | 8 | 10 | 12)
            && last
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && last.bytes().any(|byte| byte.is_ascii_alphabetic());
        is_invented.then(|| {
            (
                segment.get(..=at).unwrap_or(""),
                segment.get(end..).unwrap_or(""),
            )
        })
    };
    // Python's names may have underscores within.
    let invented = |end: usize| behind(end, &['-', '.']).or_else(|| behind(end, &['_']));
    invented(segment.len()).or_else(|| {
        let extension = segment.rfind('.').filter(|at| segment.len() - at <= 6)?;
        invented(extension)
    })
}

/// Anywhere: six letters as `mkstemp` draws them, at the very end, in a mix that no word has.
fn is_mkstemp(segment: &str, name: &str, extension: &str) -> bool {
    let drawn = segment.as_bytes().get(name.len()..).unwrap_or_default();
    let later = drawn.get(1..).unwrap_or_default();
    extension.is_empty()
        && drawn.len() == 6
        && drawn.iter().any(u8::is_ascii_lowercase)
        && (later.iter().any(u8::is_ascii_uppercase)
            || (later.iter().take(4).any(u8::is_ascii_digit)
                && drawn.last().is_some_and(u8::is_ascii_alphabetic)))
}

/// Letters of a UUID.
const UUID: usize = 36;

/// Where a UUID begins.
fn find_uuid(segment: &str) -> Option<usize> {
    let is_uuid = |bytes: &[u8]| {
        bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    segment.as_bytes().windows(UUID).position(is_uuid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let mut text = "before".to_owned();
        write_path(path, &mut text);
        assert_eq!(text, format!("before{expected}"));
    }

    #[test]
    fn what_varies_becomes_a_mark() {
        check("/var/log/nginx/access.log", "/var/log/nginx/access.log");
        check(
            "/var/log/nginx/access.log.2.gz",
            "/var/log/nginx/access.log.<n>.gz",
        );
        check("/var/log/app-2026-11-21.log", "/var/log/app-<n>.log");
        check("/proc/4711/status", "/proc/<n>/status");
        check("/proc/self/status", "/proc/self/status");
        check(
            "/var/lib/docker/overlay2/9f86d081884c7d659a2feaa0c55ad015/merged/x",
            "/var/lib/docker/overlay<n>/<n>/merged/x",
        );
        check(
            "/run/4fa85f64-5717-4562-b3fc-2c963f66afa6/s",
            "/run/<uuid>/s",
        );
        check("/tmp/tmpq7x_k2ab/setup.py", "/tmp/tmp<random>/setup.py");
        check("/tmp/ccAbCdEf.o", "/tmp/cc<random>.o");
        check(
            "/tmp/pip-build-env-kqzvxwpt/overlay",
            "/tmp/pip-build-env-<random>/overlay",
        );
        check("/tmp/phpbAkZ3q", "/tmp/php<random>");
        check(
            "/data/cache/b/ae/6701ddfdca9a0a29b039163084fc1437",
            "/data/cache/<n>/<n>",
        );
        check("/var/lib/pg/pg_xact/7F2B", "/var/lib/pg/pg_xact/<n>");
        check(
            "/tmp/x-4fa85f64-5717-4562-b3fc-2c963f66afa6-y.so",
            "/tmp/x-<uuid>-y.so",
        );
        check("/tmp/upload-report.pdf", "/tmp/upload-<random>.pdf");
        check("/srv/upload-report.pdf", "/srv/upload-report.pdf");
        check("/tmp/tmp.Zq81LmPx0a", "/tmp/tmp.<random>");
        check("/usr/lib/libssl.so.3.0.11", "/usr/lib/libssl.so.<n>");
        check("/usr/bin/md5sum", "/usr/bin/md5sum");
        check("/usr/bin/sha256sum", "/usr/bin/sha<n>sum");
        check("/usr/bin/python3.11", "/usr/bin/python<n>");
        check(
            "/var/lib/postgresql/15/main/base/16384/2619_fsm",
            "/var/lib/postgresql/<n>/main/base/<n>/<n>_fsm",
        );
        check(
            "/src/.git/objects/3f/9a7c1e0b2d4f6a8091b3c5d7e9f1a3b5c7d9e0",
            "/src/.git/objects/<n>/<n>",
        );
        check("/app/README.md", "/app/README.md");
        check("/app/MyFileName.java", "/app/MyFileName.java");
        check("/data/grüße7ß", "/data/grüße<n>ß");
    }

    #[test]
    fn detours_are_resolved() {
        check(
            "//etc//nginx/./conf.d/../nginx.conf",
            "/etc/nginx/nginx.conf",
        );
        check("/../../etc/passwd", "/etc/passwd");
        check("/a/..", "/");
        check("", "/");
        check("relative/x", "relative/x");
    }

    #[test]
    fn what_gives_access_is_kept_to_the_letter() {
        check("/home/user1/.ssh/id_rsa", "/home/user1/.ssh/id_rsa");
        check("/home/user2/.ssh/../.ssh/id_rsa", "/home/user2/.ssh/id_rsa");
        check("/proc/17/environ", "/proc/<n>/environ");
        check("/run/secrets/token-8f3k2x9", "/run/secrets/token-8f3k2x9");
    }

    #[test]
    fn flags_and_words() {
        let check = |write: fn(&str, &mut String), text: &str, expected: &str| {
            let mut written = String::new();
            write(text, &mut written);
            assert_eq!(written, expected);
        };
        check(write_flag, "--jobs=4", "--jobs=<n>");
        check(write_flag, "-j4", "-j<n>");
        check(write_flag, "-Xmx2048m", "-Xmx<n>m");
        check(write_flag, "-I/usr/include/x86_64", "-I/usr/include/x<n>");
        check(write_flag, "--no-check", "--no-check");
        check(write_flag, "--config=/etc/a.yml", "--config=/etc/a.yml");
        check(
            write_word,
            "https://user:secret@host.example/a?b",
            "https://host.example",
        );
        check(write_word, "8080", "<n>");
        check(
            write_script,
            "test  -e /run/a-17 && exit 3",
            "test -e /run/a-<n> && exit <n>",
        );
    }

    #[test]
    fn long_texts_end_in_a_hash_that_tells_them_apart() {
        let write = |path: String| {
            let mut text = String::new();
            write_path(&path, &mut text);
            text
        };
        let one = write(format!("/{}", "é".repeat(100_000)));
        let other = write(format!("/{}x", "é".repeat(100_000)));
        assert!(one.len() <= MAX_TEXT && other.len() <= MAX_TEXT);
        assert_ne!(one, other);
    }

    proptest! {
        #[test]
        fn any_text_gives_a_short_text(text in any::<String>(), path in "(/|\\.\\.|[a-fA-F0-9._-]{0,40}){0,30}") {
            for text in [text, path] {
                for write in [write_path, write_flag, write_word, write_script] {
                    let mut written = String::new();
                    write(&text, &mut written);
                    prop_assert!(written.len() <= MAX_TEXT);
                }
            }
        }
    }
}
