//! Diagnostics through the `log` crate, or nothing where the feature is off. Never a print.

/// `diagnose!(warn, "...", ...)`: one record at that level.
macro_rules! diagnose {
    ($level:ident, $($message:tt)+) => {{
        #[cfg(feature = "log")]
        log::$level!($($message)+);
        #[cfg(not(feature = "log"))]
        if false {
            let _ = format_args!($($message)+);
        }
    }};
}

pub(crate) use diagnose;
