//! Everything is measured on each backend that is compiled in.

use asyncore::{Backend, Reactor, Scan};

/// Calls a function that is generic over the backend with each.
macro_rules! on_each_backend {
    ($bench:ident($($argument:expr),*)) => {
        #[cfg(feature = "poll")]
        $bench::<asyncore::Poll>($($argument),*);
        #[cfg(feature = "select")]
        $bench::<asyncore::Select>($($argument),*);
    };
}
pub(crate) use on_each_backend;

/// Without the hot set, and with it: it is told of every change as well.
pub(crate) const SCANS: [(&str, Scan); 2] = [("plain", Scan::Plain), ("adaptive", Scan::Adaptive)];

pub(crate) fn reactor<B: Backend>(scan: Scan) -> Reactor<B> {
    Reactor::builder().backend(B::default()).scan(scan).build()
}
