//! How bytes, errors and differences are written.

use nix::errno::Errno;
use std::io;

/// Bytes as the traces show them: `'hello\r\n'`, or `60000*x`.
pub(crate) fn show(data: &[u8]) -> String {
    let escaped = |data: &[u8]| data.escape_ascii().to_string().replace("\\\"", "\"");
    if data.len() > 16 && data.iter().all(|byte| *byte == data[0]) {
        return format!("{}*{}", data.len(), escaped(&data[..1]));
    }
    format!("'{}'", escaped(data))
}

/// Bytes as the scenarios write them: `hello`, `a\r\n`, or `60000*x`.
pub(crate) fn bytes(word: &str) -> Vec<u8> {
    parse_bytes(word).expect("it was checked")
}

pub(crate) fn parse_bytes(word: &str) -> Result<Vec<u8>, String> {
    if let Some((count, unit)) = word.split_once('*')
        && !count.is_empty()
        && count.bytes().all(|byte| byte.is_ascii_digit())
    {
        let count = count.parse().map_err(|_| format!("{word} is too much"))?;
        return Ok(parse_bytes(unit)?.repeat(count));
    }
    let mut parts = word.split('\\');
    let mut data = parts.next().unwrap_or_default().as_bytes().to_vec();
    while let Some(part) = parts.next() {
        let (escaped, rest) = match part.as_bytes() {
            [b'r', rest @ ..] => (b'\r', rest),
            [b'n', rest @ ..] => (b'\n', rest),
            [b't', rest @ ..] => (b'\t', rest),
            // Two backslashes: what is behind them is no escape.
            [] => (b'\\', parts.next().unwrap_or_default().as_bytes()),
            [b'x', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (u8::from_str_radix(&part[1..3], 16).unwrap_or_default(), rest)
            }
            _ => return Err(format!("{word} has a backslash before none of r n t \\ xHH")),
        };
        data.push(escaped);
        data.extend_from_slice(rest);
    }
    Ok(data)
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
