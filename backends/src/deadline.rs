//! One wait's end: computed once, so that interrupted and clamped calls neither lengthen nor
//! shorten it.
#![cfg(any(feature = "poll", feature = "select"))]

use std::{
    io,
    time::{Duration, Instant},
};

/// The longest single call. macOS refuses more in `select`, 32-bit kernels more than 68 years.
const LONGEST: Duration = Duration::from_secs(100_000_000);

#[derive(Clone, Copy)]
enum Deadline {
    Never,
    /// A probe: the clock is not asked at all.
    Now,
    At(Instant),
}

impl Deadline {
    #[inline]
    fn after(timeout: Option<Duration>) -> Self {
        match timeout {
            None => Self::Never,
            Some(Duration::ZERO) => Self::Now,
            Some(timeout) => Instant::now().checked_add(timeout).map_or(Self::Never, Self::At),
        }
    }

    #[inline]
    fn remaining(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Now => Some(Duration::ZERO),
            Self::At(end) => Some(end.saturating_duration_since(Instant::now())),
        }
    }
}

/// Calls `attempt` with the time that is left until it finds something or none is left.
///
/// `attempt` returns how much it found. `EINTR` starts it over; so does finding nothing early.
#[inline]
pub(crate) fn until_found(
    timeout: Option<Duration>,
    mut attempt: impl FnMut(Option<Duration>) -> io::Result<usize>,
) -> io::Result<()> {
    let deadline = Deadline::after(timeout);
    let mut left = match deadline {
        Deadline::At(_) => timeout,
        other => other.remaining(),
    };
    loop {
        match attempt(left.map(|left| left.min(LONGEST))) {
            Ok(0) => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                left = deadline.remaining();
                continue;
            }
            Err(error) => return Err(error),
        }
        left = deadline.remaining();
        if left == Some(Duration::ZERO) {
            return Ok(());
        }
    }
}

/// `Duration` as the kernel takes it; `until_found` has bounded it.
pub(crate) fn timespec(duration: Duration) -> libc::timespec {
    // SAFETY: a timespec of zeros is a valid value; some platforms have padding fields besides.
    let mut timespec: libc::timespec = unsafe { std::mem::zeroed() };
    timespec.tv_sec = duration.as_secs() as libc::time_t;
    timespec.tv_nsec = duration.subsec_nanos() as _;
    timespec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_wait_goes_on_with_what_is_left() {
        let timeout = Duration::from_millis(20);
        let mut seen = Vec::new();
        let start = Instant::now();
        until_found(Some(timeout), |left| {
            seen.push(left.unwrap());
            match seen.len() {
                1..=3 => Err(io::Error::from_raw_os_error(libc::EINTR)),
                _ => Ok(0),
            }
        })
        .unwrap();
        assert!(start.elapsed() >= timeout, "early");
        assert_eq!(seen[0], timeout);
        assert!(seen.is_sorted_by(|a, b| a >= b), "{seen:?}");
    }

    #[test]
    fn a_probe_is_made_once_and_an_endless_wait_goes_on() {
        let mut calls = 0;
        until_found(Some(Duration::ZERO), |left| {
            calls += 1;
            assert_eq!(left, Some(Duration::ZERO));
            Ok(0)
        })
        .unwrap();
        assert_eq!(calls, 1);

        until_found(None, |left| {
            calls += 1;
            assert_eq!(left, None);
            Ok(usize::from(calls == 5))
        })
        .unwrap();
        assert_eq!(calls, 5);
    }

    #[test]
    fn a_huge_timeout_is_waited_for_in_parts() {
        for huge in [Duration::MAX, Duration::from_secs(1 << 40)] {
            let mut calls = 0;
            until_found(Some(huge), |left| {
                calls += 1;
                assert!(left.is_none_or(|left| left == LONGEST));
                Ok(usize::from(calls == 3))
            })
            .unwrap();
            assert_eq!(calls, 3);
        }
    }
}
