//! How bytes, errors and differences are written.

use nix::errno::Errno;
use std::io;

/// Bytes as the traces show them: `'hello\r\n'`, or `60000*x`.
pub(crate) fn show(data: &[u8]) -> String {
    if data.len() > 16 && data.iter().all(|byte| *byte == data[0]) {
        return format!("{}*{}", data.len(), char::from(data[0]));
    }
    let escaped = data.escape_ascii().to_string().replace("\\\"", "\"");
    format!("'{escaped}'")
}

/// Bytes as the scenarios write them: `hello`, `a\r\n`, or `60000*x`.
pub(crate) fn bytes(word: &str) -> Vec<u8> {
    if let Some((count, unit)) = word.split_once('*')
        && let Ok(count) = count.parse()
    {
        return unit.repeat(count).into_bytes();
    }
    word.replace("\\r", "\r").replace("\\n", "\n").into_bytes()
}

/// `ECONNRESET`, or what kind of error it is if it has no errno.
pub(crate) fn name_of(error: &io::Error) -> String {
    match (error.raw_os_error(), error.kind()) {
        (Some(errno), _) => format!("{:?}", Errno::from_raw(errno)),
        (None, io::ErrorKind::WouldBlock) => "EAGAIN".to_owned(),
        (None, io::ErrorKind::Other) => error.to_string(),
        (None, kind) => format!("{kind:?}"),
    }
}

/// Two traces in one: what is common, what is only expected, what is only found.
pub(crate) fn difference(expected: &[String], found: &[String]) -> String {
    let start = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
    let (_, expected) = expected.split_at(start);
    let (common, found) = found.split_at(start);
    let end = expected.iter().rev().zip(found.iter().rev()).take_while(|(a, b)| a == b).count();
    let lines = |sign: char, lines: &[String]| {
        lines.iter().map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    [
        lines(' ', common),
        lines('-', &expected[..expected.len() - end]),
        lines('+', &found[..found.len() - end]),
        lines(' ', &found[found.len() - end..]),
    ]
    .concat()
}
