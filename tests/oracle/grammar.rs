//! Whether a scenario says what can be done; grammar.py is the same for the recorder.

use crate::{
    book::{Callback, Kind, Scenario},
    text::parse_bytes,
    world::errno_named,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

const TRANSPORTS: [&str; 8] = ["tcp4", "tcp6", "unix", "udp4", "udp6", "pipe", "pty", "file"];

/// Who may do what: by table, the verbs and what goes with them.
static VERBS: LazyLock<HashMap<String, HashMap<String, String>>> =
    LazyLock::new(|| toml::from_str(include_str!("verbs.toml")).expect("verbs.toml is in order"));

/// `NAME: VERB ARGUMENTS`, as the name and the words behind it.
pub(crate) fn split(line: &str) -> (Option<&str>, Vec<&str>) {
    let (name, rest) = match line.split_once(": ") {
        Some((name, rest)) => (Some(name), rest),
        None => (None, line),
    };
    (name, rest.split_whitespace().collect())
}

/// Whether `word` is a verb of that table.
pub(crate) fn is_in(table: &str, word: &str) -> bool {
    VERBS[table].contains_key(word)
}

/// A step, or an action of a channel's callback.
struct Line<'a> {
    place: String,
    running: Option<(&'a str, Callback)>,
    name: Option<&'a str>,
    verb: &'a str,
    arguments: Vec<&'a str>,
}

/// Says where a scenario is wrong, and why.
pub(crate) fn check(scenario: &Scenario) -> Result<(), String> {
    let place = format!("scenario {}", scenario.name);
    let at = |place: &str| {
        let place = place.to_owned();
        move |why: String| format!("{place}: {why}")
    };
    if let Some(other) = scenario.over.iter().find(|over| !TRANSPORTS.contains(&over.as_str())) {
        return Err(format!("{place}: there is no transport {other}"));
    }
    let mut names = Names { scenario, channels: BTreeSet::new(), peers: BTreeSet::new() };
    let lines = lines(scenario)?;
    for line in &lines {
        names.add_channels(line).map_err(at(&line.place))?;
    }
    for line in &lines {
        names.add_peers(line).map_err(at(&line.place))?;
    }
    for (name, definition) in &scenario.channels {
        let place = format!("{place}, channel {name}");
        if !names.channels.contains(name.as_str()) {
            return Err(format!("{place}: no step makes a channel of that name"));
        }
        for (callback, actions) in definition.callbacks() {
            if actions.is_some() && !callback.is_of(definition.kind) {
                return Err(format!("{place}: there is no key {}", callback.key()));
            }
            let early = actions.iter().flat_map(|actions| actions.iter().rev().skip(1));
            let mut early =
                early.filter(|action| ["default", "give_up"].contains(&action.as_str()));
            if let (Callback::Error, Some(action)) = (callback, early.next()) {
                return Err(format!(
                    "{place}: {action} is the last action of error, or none of it"
                ));
            }
        }
        if let Some(terminator) = &definition.terminator
            && (definition.kind != Kind::Chat
                || parse_bytes(terminator).map_err(at(&place))?.is_empty())
        {
            return Err(format!("{place}: an empty terminator, or that of no chat"));
        }
    }
    lines.iter().try_for_each(|line| names.check(line).map_err(at(&line.place)))
}

fn lines(scenario: &Scenario) -> Result<Vec<Line<'_>>, String> {
    let mut lines = Vec::new();
    let mut add = |place: String, running, line| {
        let (name, words) = split(line);
        let Some((verb, arguments)) = words.split_first() else {
            return Err(format!("{place}: there is no verb"));
        };
        let arguments = arguments.to_vec();
        lines.push(Line { place, running, name, verb, arguments });
        Ok(())
    };
    let scenario_name = &scenario.name;
    for (number, step) in scenario.steps.iter().enumerate() {
        add(format!("scenario {scenario_name}, step {}: {step}", number + 1), None, step)?;
    }
    for (name, definition) in &scenario.channels {
        for (callback, actions) in definition.callbacks() {
            for action in actions.into_iter().flatten() {
                let key = callback.key();
                let place = format!("scenario {scenario_name}, channel {name}, {key}: {action}");
                add(place, Some((name.as_str(), callback)), action)?;
            }
        }
    }
    Ok(lines)
}

struct Names<'a> {
    scenario: &'a Scenario,
    channels: BTreeSet<&'a str>,
    peers: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    fn add_channels(&mut self, line: &Line<'a>) -> Result<(), String> {
        match line.name {
            Some(name) if is_in("new_channel", line.verb) => self.add_channel(name),
            _ if line.verb == "as" => {
                line.arguments.iter().try_for_each(|name| self.add_channel(name))
            }
            _ => Ok(()),
        }
    }

    fn add_channel(&mut self, name: &'a str) -> Result<(), String> {
        if self.channels.insert(name) { Ok(()) } else { Err(taken(name)) }
    }

    fn add_peers(&mut self, line: &Line<'a>) -> Result<(), String> {
        let new = match line.name {
            None if ["pair", "pipe", "pty"].contains(&line.verb) => line.arguments.clone(),
            Some(name) if !self.channels.contains(name) && is_in("new_peer", line.verb) => {
                vec![name]
            }
            _ => return Ok(()),
        };
        for name in new {
            if self.channels.contains(name) || !self.peers.insert(name) {
                return Err(taken(name));
            }
        }
        Ok(())
    }

    fn check(&self, line: &Line<'a>) -> Result<(), String> {
        let verb = line.verb;
        let running = line.running;
        let (tables, who) = match line.name.or(running.map(|(name, _)| name)) {
            None => (vec!["nobody"], "nobody".to_owned()),
            Some(name) if self.channels.contains(name) => {
                let definition = self.scenario.channels.get(name);
                let kind = definition.map_or(Kind::Dispatcher, |definition| definition.kind).key();
                let mut tables = vec!["new_channel", "channel", kind];
                let mut who = format!("{name}, a channel of kind {kind},");
                if let Some((_, callback)) = running.filter(|(running, _)| *running == name) {
                    who += &format!(" in its {}", callback.key());
                    if matches!(callback, Callback::Accepted | Callback::Error) {
                        tables.push(callback.key());
                    }
                    let of_a_chat = matches!(callback, Callback::Collect | Callback::Found);
                    if !of_a_chat || verb != "default" {
                        tables.push("callback");
                    }
                }
                if verb == "watch" && kind != "dispatcher" {
                    return Err("a file_dispatcher has no other kind".to_owned());
                }
                (tables, who)
            }
            Some(name) if self.peers.contains(name) => {
                (vec!["new_peer", "peer"], format!("{name}, a peer,"))
            }
            Some(name) => return Err(format!("there is no {name}")),
        };
        let Some(signature) = tables.iter().find_map(|table| VERBS[*table].get(verb)) else {
            return Err(format!("{who} has no verb {verb}"));
        };
        for alternative in signature.split(" / ") {
            let forms: Vec<&str> = alternative.split_whitespace().collect();
            if self.fits(&forms, &line.arguments)? {
                return Ok(());
            }
        }
        Err(format!("it is {verb} {signature}").trim_end().to_owned())
    }

    fn fits(&self, forms: &[&str], words: &[&str]) -> Result<bool, String> {
        let (Some((form, mut rest)), Some((word, words))) =
            (forms.split_first(), words.split_first())
        else {
            let may_be_left_out = forms.iter().all(|form| form.starts_with('['));
            return Ok(words.is_empty() && may_be_left_out);
        };
        let bare = form.trim_start_matches('[').trim_end_matches([']', '.']);
        if !self.is_a(bare, word)? {
            return Ok(false);
        }
        if form.ends_with("..") && !words.is_empty() {
            rest = forms;
        }
        self.fits(rest, words)
    }

    fn is_a(&self, form: &str, word: &str) -> Result<bool, String> {
        Ok(match form {
            "N" => word.bytes().all(|byte| byte.is_ascii_digit()) && word.len() < 10,
            "TEXT" => parse_bytes(word).map(|_| true)?,
            "ERRNO" => errno_named(word).is_some(),
            "NEW" => true,
            "NAME" => self.channels.contains(word) || self.peers.contains(word),
            "CHANNEL" => self.channels.contains(word),
            "PEER" => self.peers.contains(word),
            _ => form.split('|').any(|choice| choice == word),
        })
    }
}

fn taken(name: &str) -> String {
    format!("the name {name} is taken")
}
