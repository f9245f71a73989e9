//! `Terminator`: what ends a piece of input.

use std::borrow::Cow;

/// What ends a piece of input (asynchat's `set_terminator`).
///
/// Text, bytes and numbers convert to one:
///
/// ```
/// use asyncore::Terminator;
///
/// assert_eq!(Terminator::from("\r\n"), Terminator::Bytes(b"\r\n".into()));
/// assert_eq!(Terminator::from(512), Terminator::Length(512));
/// ```
///
/// A negative length is refused by the compiler:
///
/// ```compile_fail,E0277
/// asyncore::Terminator::from(-1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Terminator {
    /// These bytes, which are not part of the input that they end. Without any it is `None`.
    Bytes(Cow<'static, [u8]>),
    /// So many bytes of input. It holds once: when they have come, the terminator is `None` until
    /// it is set again. A length of 0 is `None`.
    Length(usize),
    /// Nothing: all that comes is collected, and `found_terminator` is not called.
    #[default]
    None,
}

impl Terminator {
    /// The same, with `None` for what ends nothing.
    pub(super) fn normalized(self) -> Self {
        match self {
            Self::Bytes(bytes) if bytes.is_empty() => Self::None,
            Self::Length(0) => Self::None,
            other => other,
        }
    }
}

impl From<usize> for Terminator {
    fn from(length: usize) -> Self {
        Self::Length(length)
    }
}

impl From<&'static [u8]> for Terminator {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl<const N: usize> From<&'static [u8; N]> for Terminator {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::Bytes(bytes.as_slice().into())
    }
}

impl From<Vec<u8>> for Terminator {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&'static str> for Terminator {
    fn from(text: &'static str) -> Self {
        text.as_bytes().into()
    }
}

impl From<String> for Terminator {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}
