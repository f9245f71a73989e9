//! The numbers for Prometheus, in its text format 0.0.4.

use asyncore::{Context, State, Stats};
use std::fmt::Write;

/// The callbacks, by the names that they have without `handle_`.
pub(crate) fn callbacks(stats: &Stats) -> [(&'static str, u64); 10] {
    [
        ("connect", stats.handle_connect),
        ("accept", stats.handle_accept),
        ("read", stats.handle_read),
        ("write", stats.handle_write),
        ("drained", stats.handle_drained),
        ("expt", stats.handle_expt),
        ("timeout", stats.handle_timeout),
        ("notify", stats.handle_notify),
        ("error", stats.handle_error),
        ("close", stats.handle_close),
    ]
}

pub(crate) const STATES: [(State, &str); 5] = [
    (State::Unconnected, "unconnected"),
    (State::Connecting, "connecting"),
    (State::Connected, "connected"),
    (State::Listening, "listening"),
    (State::Closed, "closed"),
];

pub(crate) fn render(cx: &Context<'_>, backend: &str) -> String {
    let stats = cx.stats();
    let mut text = String::new();
    let counters = [
        ("passes", "Rounds of the loop.", stats.passes),
        ("waits", "System calls that waited or looked.", stats.waits),
        ("scanned_descriptors", "Descriptors that these calls asked about.", stats.descriptors),
        ("ready_descriptors", "Descriptors that were found ready.", stats.ready),
        ("flushes", "Times that queued output had its turn.", stats.flushes),
        ("timers", "Timers that were due.", stats.timers),
        ("posts", "Callbacks that came by a remote handle.", stats.posts),
        ("received_bytes", "Bytes received.", stats.received),
        ("sent_bytes", "Bytes sent.", stats.sent),
        ("accept_pauses", "Times that a listener had no room.", stats.accept_pauses),
        ("evictions", "Channels whose descriptor was closed elsewhere.", stats.evictions),
    ];
    for (name, help, value) in counters {
        family(&mut text, &format!("{name}_total"), "counter", help, [("", "", value)]);
    }
    let calls = callbacks(&stats).map(|(kind, calls)| ("callback", kind, calls));
    family(&mut text, "callbacks_total", "counter", "Calls of a dispatcher's callbacks.", calls);
    let channels = STATES.map(|(state, name)| {
        ("state", name, cx.channels().filter(|channel| channel.state == state).count() as u64)
    });
    family(&mut text, "channels", "gauge", "Channels that there are.", channels);
    let queued = cx.channels().map(|channel| channel.queued as u64).sum();
    family(&mut text, "queued_bytes", "gauge", "Bytes that wait to be sent.", [("", "", queued)]);
    let info = [("backend", backend, 1)];
    family(&mut text, "info", "gauge", "The system call that waits.", info);
    text
}

/// One metric, with a sample for each value of its label, if it has one.
fn family<'a>(
    text: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    samples: impl IntoIterator<Item = (&'a str, &'a str, u64)>,
) {
    let _ = writeln!(text, "# HELP asyncore_{name} {help}\n# TYPE asyncore_{name} {kind}");
    for (label, value, number) in samples {
        let _ = match label {
            "" => writeln!(text, "asyncore_{name} {number}"),
            _ => writeln!(text, "asyncore_{name}{{{label}=\"{value}\"}} {number}"),
        };
    }
}
