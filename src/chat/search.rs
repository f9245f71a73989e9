//! Looking for bytes in a stream that comes in parts: Knuth, Morris and Pratt, behind a `memchr`.

use std::io::BufRead;

/// For each beginning of `needle` but the empty one: how long its longest other beginning is that
/// it also ends with. One byte needs no table.
pub(super) fn borders(needle: &[u8], table: &mut Vec<usize>) {
    table.clear();
    if needle.len() < 2 {
        return;
    }
    table.push(0);
    for index in 1..needle.len() {
        let matched = advance(needle, table, table[index - 1], needle[index]);
        table.push(matched);
    }
}

/// Looks for `needle`, of which `data` is known to begin with the first `matched` bytes.
///
/// `Ok` says where it starts. `Err` says how many bytes at the end of `data` may be the beginning
/// of one. Each byte of `data` is looked at at most three times.
pub(super) fn find(
    needle: &[u8],
    borders: &[usize],
    data: &[u8],
    mut matched: usize,
) -> Result<usize, usize> {
    let mut at = matched;
    while at < data.len() {
        if matched == 0 {
            at += up_to(needle[0], &data[at..]).ok_or(0_usize)?;
            if needle.len() > 1 && data[at - 1..].starts_with(needle) {
                // Most often it is all there, and comparing is faster than going byte by byte.
                return Ok(at - 1);
            }
            matched = 1;
        } else {
            matched = advance(needle, borders, matched, data[at]);
            at += 1;
        }
        if matched == needle.len() {
            return Ok(at - matched);
        }
    }
    Err(matched)
}

/// How much of `needle` is matched after one more byte.
fn advance(needle: &[u8], borders: &[usize], mut matched: usize, byte: u8) -> usize {
    while matched > 0 && needle[matched] != byte {
        matched = borders[matched - 1];
    }
    matched + usize::from(needle[matched] == byte)
}

/// How many bytes it takes up to the first `byte`, that one included.
fn up_to(byte: u8, data: &[u8]) -> Option<usize> {
    let mut rest = data;
    // The standard library's memchr has no other safe name. Reading a slice cannot fail.
    let count = rest.skip_until(byte).ok()?;
    (count > 0 && data[count - 1] == byte).then_some(count)
}
