//! What is written down: the scenarios, the recorded traces, and the differences that are meant.

use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env, fs,
    path::{Path, PathBuf},
};

/// One scenario of `scenarios.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// For the reader.
    #[serde(rename = "about")]
    _about: String,
    /// The transports it runs over, each for itself.
    #[serde(default = "tcp4")]
    over: Vec<String>,
    #[serde(default)]
    pub(crate) channels: HashMap<String, Definition>,
    pub(crate) steps: Vec<String>,
}

fn tcp4() -> Vec<String> {
    vec!["tcp4".to_owned()]
}

/// What a channel wants, and what it does in its callbacks.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    #[serde(default)]
    pub(crate) kind: Kind,
    pub(crate) readable: Option<Answer>,
    pub(crate) writable: Option<Answer>,
    connect: Option<Vec<String>>,
    accepted: Option<Vec<String>>,
    read: Option<Vec<String>>,
    write: Option<Vec<String>>,
    expt: Option<Vec<String>>,
    close: Option<Vec<String>>,
    error: Option<Vec<String>>,
    /// Of a chat.
    pub(crate) terminator: Option<String>,
    collect: Option<Vec<String>>,
    found: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    #[default]
    Dispatcher,
    WithSend,
    Chat,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Callback {
    Connect,
    Accepted,
    Read,
    Write,
    Expt,
    Close,
    Error,
    Collect,
    Found,
}

/// What `readable` or `writable` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    Always(bool),
    When(When),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum When {
    /// As long as it is not connected.
    Connecting,
    /// It has no answer: it fails.
    Raise,
}

impl Definition {
    /// The actions of a callback: its own, or what asyncore's users usually do there.
    pub(crate) fn actions(&self, callback: Callback) -> Vec<String> {
        let (own, usual): (_, &[&str]) = match callback {
            Callback::Connect => (&self.connect, &[]),
            Callback::Accepted => (&self.accepted, &["refuse"]),
            Callback::Read => (&self.read, &["recv 4096"]),
            Callback::Write => (&self.write, &[]),
            Callback::Expt => (&self.expt, &[]),
            Callback::Close => (&self.close, &["close"]),
            Callback::Error => (&self.error, &["give_up"]),
            Callback::Collect => (&self.collect, &[]),
            Callback::Found => (&self.found, &[]),
        };
        let usual = || usual.iter().map(|action| (*action).to_owned()).collect();
        own.clone().unwrap_or_else(usual)
    }
}

/// `differences.toml`: where the reactor is meant to differ from asyncore, and why.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Differences {
    /// Each row that a difference may name, with what is right by it.
    rows: BTreeMap<String, String>,
    #[serde(default, rename = "difference")]
    list: Vec<Difference>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    scenario: String,
    /// The transports; all of the scenario's unless given.
    over: Option<Vec<String>>,
    rows: Vec<String>,
    /// The reactor's trace, on both backends.
    trace: String,
}

type Trace = Vec<String>;

pub(crate) struct Book {
    scenarios: Vec<Scenario>,
    /// By scenario, then by `transport/mode`.
    recorded: HashMap<String, HashMap<String, Trace>>,
    differences: Differences,
}

impl Book {
    /// The one beside this file, or that of the directory `ASYNCORE_ORACLE`.
    pub(crate) fn open() -> Self {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
        let directory = env::var_os("ASYNCORE_ORACLE").map_or(own, PathBuf::from);
        let read = |path: PathBuf| {
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };

        #[derive(Deserialize)]
        struct Scenarios {
            scenario: Vec<Scenario>,
        }
        let scenarios: Scenarios = parse(&read(directory.join("scenarios.toml")));
        let mut recorded = HashMap::new();
        for file in fs::read_dir(directory.join("traces")).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            recorded.insert(name, parse_traces(&read(path)));
        }
        let differences = directory.join("differences.toml");
        let differences =
            if differences.exists() { parse(&read(differences)) } else { Differences::default() };
        Self { scenarios: scenarios.scenario, recorded, differences }
    }

    /// Every scenario over every transport that it names.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (&Scenario, &str)> {
        self.scenarios
            .iter()
            .flat_map(|scenario| scenario.over.iter().map(move |over| (scenario, over.as_str())))
    }

    /// What a backend is to do: what asyncore did, unless a difference is meant.
    pub(crate) fn expected(
        &self,
        scenario: &str,
        transport: &str,
        mode: &str,
    ) -> Result<Trace, String> {
        if let Some(difference) = self.difference(scenario, transport) {
            return Ok(lines(&difference.trace));
        }
        self.recorded(scenario, transport, mode).cloned()
    }

    fn recorded(&self, scenario: &str, transport: &str, mode: &str) -> Result<&Trace, String> {
        self.recorded
            .get(scenario)
            .and_then(|traces| traces.get(&format!("{transport}/{mode}")))
            .ok_or_else(|| format!("{scenario} over {transport} by {mode} was not recorded"))
    }

    fn difference(&self, scenario: &str, transport: &str) -> Option<&Difference> {
        self.differences.list.iter().find(|difference| {
            difference.scenario == scenario
                && difference.over.as_ref().is_none_or(|over| over.iter().any(|o| o == transport))
        })
    }

    /// Nothing is missing, nothing is left over, and every difference has its reason.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut wrong = Vec::new();
        let names: BTreeSet<&str> = self.scenarios.iter().map(|s| s.name.as_str()).collect();
        if names.len() != self.scenarios.len() {
            wrong.push("two scenarios have the same name".to_owned());
        }
        for name in self.recorded.keys().filter(|name| !names.contains(name.as_str())) {
            wrong.push(format!("the trace {name} has no scenario"));
        }

        let mut needed = vec![false; self.differences.list.len()];
        for (scenario, transport) in self.runs() {
            let name = &scenario.name;
            for mode in ["poll", "poll2"] {
                match self.recorded(name, transport, mode) {
                    Err(error) => wrong.push(error),
                    Ok(trace) if steps(trace) != scenario.steps => {
                        wrong.push(format!("{name} has changed since it was recorded"));
                    }
                    Ok(trace) => {
                        if let Some(difference) = self.difference(name, transport)
                            && lines(&difference.trace) != *trace
                        {
                            let is = |other: &Difference| std::ptr::eq(other, difference);
                            needed[self.differences.list.iter().position(is).unwrap()] = true;
                        }
                    }
                }
            }
        }
        for (difference, needed) in self.differences.list.iter().zip(needed) {
            if !needed {
                wrong.push(format!("{}: there is no such difference", difference.scenario));
            }
            if difference.rows.is_empty() {
                wrong.push(format!("{}: a difference without a reason", difference.scenario));
            }
        }

        let named: BTreeSet<&String> =
            self.differences.list.iter().flat_map(|difference| &difference.rows).collect();
        let rows: BTreeSet<&String> = self.differences.rows.keys().collect();
        for row in named.difference(&rows) {
            wrong.push(format!("there is no row {row} to differ by"));
        }
        for row in rows.difference(&named) {
            wrong.push(format!("no trace shows the row {row}"));
        }
        let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/PORTING.md")).unwrap();
        for row in rows.iter().filter(|row| !guide.contains(&format!("\n| {row} | "))) {
            wrong.push(format!("PORTING.md does not tell of the row {row}"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

fn parse<T: for<'a> Deserialize<'a>>(text: &str) -> T {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A file of traces: each is headed by the runs that gave it, `== tcp4/poll tcp4/poll2`.
fn parse_traces(text: &str) -> HashMap<String, Trace> {
    let mut traces = HashMap::new();
    for part in text.split("== ").skip(1) {
        let (runs, trace) = part.split_once('\n').unwrap_or((part, ""));
        for run in runs.split(' ') {
            traces.insert(run.to_owned(), lines(trace));
        }
    }
    traces
}

fn lines(text: &str) -> Trace {
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn steps(trace: &[String]) -> Vec<&str> {
    trace.iter().filter_map(|line| line.strip_prefix("> ")).collect()
}
