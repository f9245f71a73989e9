//! The numbers for people: one page that needs nothing else, neither network nor script.

use crate::metrics::{STATES, callbacks};
use asyncore::{ChannelInfo, Context};
use minijinja::{Environment, Error, Value, context};
use std::time::Duration;

/// More channels than these are counted, but not listed.
const MOST_ROWS: usize = 200;

/// The template, and what does not change.
pub(crate) struct Page {
    templates: Environment<'static>,
    backend: &'static str,
}

impl Page {
    pub(crate) fn new(backend: &'static str) -> Result<Self, Error> {
        let mut templates = Environment::new();
        // A name that ends in .html has everything escaped: a peer's path may be any text.
        templates.add_template("page.html", include_str!("page.html"))?;
        Ok(Self { templates, backend })
    }

    pub(crate) fn backend(&self) -> &'static str {
        self.backend
    }

    pub(crate) fn render(&self, cx: &Context<'_>) -> Result<String, Error> {
        let stats = cx.stats();
        let channels = cx.channels().count();
        let rows: Vec<_> = cx.channels().take(MOST_ROWS).map(row).collect();
        let age = cx.channels().map(|channel| channel.age).max().unwrap_or_default();
        let queued = cx.channels().map(|channel| channel.queued as u64).sum();
        let per = |count, of| if of == 0 { 0.0 } else { count as f64 / of as f64 };
        let tiles = [
            ("channels", channels.to_string(), format!("{} queued", bytes(queued))),
            ("received", bytes(stats.received), format!("{} reads", count(stats.handle_read))),
            ("sent", bytes(stats.sent), format!("{} flushes", count(stats.flushes))),
            (
                "passes",
                count(stats.passes),
                format!("{:.2} waits each", per(stats.waits, stats.passes)),
            ),
            (
                "scanned",
                count(stats.descriptors),
                format!("{:.1} for one that is ready", per(stats.descriptors, stats.ready)),
            ),
            ("timers", count(stats.timers), format!("{} posts", count(stats.posts))),
            ("accept pauses", count(stats.accept_pauses), "no room for another".to_owned()),
            ("evictions", count(stats.evictions), "closed by somebody else".to_owned()),
        ];
        let most = callbacks(&stats).iter().map(|(_, calls)| *calls).max().unwrap_or(0).max(1);
        let calls = callbacks(&stats).map(|(name, calls)| {
            let width = format!("{:.1}", 100.0 * calls as f64 / most as f64);
            context! { name, calls => count(calls), width }
        });
        self.templates.get_template("page.html")?.render(context! {
            backend => self.backend,
            age => time(age),
            tiles => tiles.map(|(name, value, note)| context! { name, value, note }),
            calls,
            rows,
            more => channels.saturating_sub(MOST_ROWS),
        })
    }
}

/// A channel as the template takes it.
fn row(channel: ChannelInfo<'_>) -> Value {
    let state = STATES.iter().find(|(state, _)| *state == channel.state);
    context! {
        fd => channel.fd,
        state => state.map_or("", |(_, name)| name),
        peer => channel.peer.map_or_else(|| "–".to_owned(), ToString::to_string),
        age => time(channel.age),
        queued => bytes(channel.queued as u64),
        received => bytes(channel.received),
        sent => bytes(channel.sent),
    }
}

fn time(age: Duration) -> String {
    humantime::format_duration(Duration::from_secs(age.as_secs())).to_string()
}

/// 1 234 567.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn bytes(number: u64) -> String {
    let mut rest = number as f64;
    for unit in ["KiB", "MiB", "GiB", "TiB"] {
        if rest < 1024.0 && unit == "KiB" {
            return format!("{number} B");
        }
        rest /= 1024.0;
        if rest < 1024.0 || unit == "TiB" {
            return format!("{rest:.1} {unit}");
        }
    }
    String::new()
}
