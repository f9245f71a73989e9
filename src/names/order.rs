//! The order in which the addresses of a name are tried.

use std::{collections::HashSet, net::SocketAddr};

/// Lets the families take turns, beginning with that of the first address (RFC 8305, section 4,
/// with a First Address Family Count of 1). Within a family the order stays, which is that of
/// RFC 6724 if the system has resolved the name. Each address comes once.
pub(super) fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = HashSet::new();
    let once = addresses.into_iter().filter(|address| seen.insert(*address));
    let all: Vec<SocketAddr> = once.collect();
    let Some(first) = all.first().copied() else { return all };
    let (one, other): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|address| address.is_ipv4() == first.is_ipv4());
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut interleaved = Vec::with_capacity(one.len() + other.len());
    while one.len() + other.len() > 0 {
        interleaved.extend(one.next());
        interleaved.extend(other.next());
    }
    interleaved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(addresses: &[&str], expected: &[&str]) {
        let parse = |text: &&str| match text.parse() {
            Ok(ip) => SocketAddr::new(ip, 80),
            Err(error) => panic!("{text}: {error}"),
        };
        let order = interleaved(addresses.iter().map(parse).collect());
        assert_eq!(order, expected.iter().map(parse).collect::<Vec<_>>());
    }

    #[test]
    fn the_families_take_turns_and_the_first_begins() {
        check(&["::1", "::2", "::3", "1.1.1.1"], &["::1", "1.1.1.1", "::2", "::3"]);
        check(&["::1", "1.1.1.1", "1.1.1.2"], &["::1", "1.1.1.1", "1.1.1.2"]);
        check(&["1.1.1.1", "1.1.1.2", "::1", "::2"], &["1.1.1.1", "::1", "1.1.1.2", "::2"]);
    }

    #[test]
    fn one_family_stays_as_it_is() {
        check(&[], &[]);
        check(&["::2", "::1"], &["::2", "::1"]);
        check(&["1.1.1.2", "1.1.1.1"], &["1.1.1.2", "1.1.1.1"]);
    }

    #[test]
    fn each_address_comes_once() {
        check(&["1.1.1.1", "1.1.1.1", "::1", "1.1.1.1", "::1"], &["1.1.1.1", "::1"]);
    }
}
