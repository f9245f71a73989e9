//! What is written down: the scenarios, the recorded traces, and the differences that are meant.

use crate::grammar;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env, fs,
    path::{Path, PathBuf},
    ptr,
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
    pub(crate) over: Vec<String>,
    #[serde(default)]
    pub(crate) channels: BTreeMap<String, Definition>,
    pub(crate) steps: Vec<String>,
}

fn tcp4() -> Vec<String> {
    vec!["tcp4".to_owned()]
}

impl Scenario {
    /// The numbers of descriptors that it asks for.
    pub(crate) fn moves_to(&self) -> impl Iterator<Item = u64> {
        let number = |step: &String| step.split_once(": move ")?.1.trim().parse().ok();
        self.steps.iter().filter_map(number)
    }
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

impl Kind {
    /// As the scenarios call it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Kind::Dispatcher => "dispatcher",
            Kind::WithSend => "with_send",
            Kind::Chat => "chat",
        }
    }
}

impl Callback {
    /// As the scenarios call it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Callback::Connect => "connect",
            Callback::Accepted => "accepted",
            Callback::Read => "read",
            Callback::Write => "write",
            Callback::Expt => "expt",
            Callback::Close => "close",
            Callback::Error => "error",
            Callback::Collect => "collect",
            Callback::Found => "found",
        }
    }

    /// Whether a channel of that kind leaves it to the scenario.
    pub(crate) fn is_of(self, kind: Kind) -> bool {
        match self {
            Callback::Connect | Callback::Expt | Callback::Close | Callback::Error => true,
            Callback::Accepted | Callback::Read => kind != Kind::Chat,
            Callback::Write => kind == Kind::Dispatcher,
            Callback::Collect | Callback::Found => kind == Kind::Chat,
        }
    }
}

impl Definition {
    /// The callbacks, with the actions that are written down for them.
    pub(crate) fn callbacks(&self) -> [(Callback, Option<&Vec<String>>); 9] {
        [
            (Callback::Connect, self.connect.as_ref()),
            (Callback::Accepted, self.accepted.as_ref()),
            (Callback::Read, self.read.as_ref()),
            (Callback::Write, self.write.as_ref()),
            (Callback::Expt, self.expt.as_ref()),
            (Callback::Close, self.close.as_ref()),
            (Callback::Error, self.error.as_ref()),
            (Callback::Collect, self.collect.as_ref()),
            (Callback::Found, self.found.as_ref()),
        ]
    }

    /// The actions of a callback: its own, or what asyncore's users usually do there.
    pub(crate) fn actions(&self, callback: Callback) -> Vec<String> {
        let (_, own) = self.callbacks()[callback as usize];
        let usual: &[&str] = match callback {
            Callback::Accepted => &["refuse"],
            Callback::Read => &["recv 4096"],
            Callback::Close => &["close"],
            Callback::Error => &["give_up"],
            _ => &[],
        };
        own.cloned().unwrap_or_else(|| usual.iter().map(|action| (*action).to_owned()).collect())
    }
}

/// `differences.toml`: where the reactor is meant to differ from asyncore, and why.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Differences {
    /// Each row that a difference may name, with what is right by it.
    #[serde(default)]
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

/// What is recorded of a scenario.
struct Recorded {
    /// The channels that it had.
    channels: Vec<String>,
    /// By `transport/mode`.
    traces: HashMap<String, Trace>,
}

pub(crate) struct Book {
    directory: PathBuf,
    scenarios: Vec<Scenario>,
    /// By scenario: its channels, as the head of a recorded trace has them.
    channels: HashMap<String, Vec<String>>,
    recorded: HashMap<String, Recorded>,
    differences: Differences,
    rows: BTreeMap<String, String>,
    /// Not the repository's: it need not show every row.
    is_foreign: bool,
}

impl Book {
    /// The one beside this file, or that of the directory `ASYNCORE_ORACLE`.
    pub(crate) fn open() -> Result<Self, String> {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
        let directory = env::var_os("ASYNCORE_ORACLE").map_or_else(|| own.clone(), PathBuf::from);

        #[derive(Deserialize)]
        struct Scenarios {
            scenario: Vec<Scenario>,
        }
        let path = directory.join("scenarios.toml");
        let Scenarios { scenario: scenarios } = parse(&path)?;
        let channels = channels_of(&parse(&path)?);

        let mut recorded = HashMap::new();
        let path = directory.join("traces");
        let files = fs::read_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        for path in files.filter_map(Result::ok).map(|file| file.path()) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            recorded.insert(name, Recorded::parse(&read(&path)?));
        }
        let of_the_repository: Differences = parse(&own.join("differences.toml"))?;
        let is_foreign = directory != own;
        let path = directory.join("differences.toml");
        let differences = if path.exists() { parse(&path)? } else { Differences::default() };
        let rows = of_the_repository.rows;
        Ok(Self { directory, scenarios, channels, recorded, differences, rows, is_foreign })
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
            .and_then(|recorded| recorded.traces.get(&format!("{transport}/{mode}")))
            .ok_or_else(|| {
                let how = self.how_to_record(scenario);
                format!("{scenario} over {transport} by {mode} was not recorded; {how}")
            })
    }

    /// The command that records it again.
    fn how_to_record(&self, scenario: &str) -> String {
        let record = "record it: python3 -W ignore tests/oracle/record.py";
        if !self.is_foreign {
            return format!("{record} {scenario}");
        }
        let directory = self.directory.display();
        format!(
            "{record} --scenarios {directory}/scenarios.toml --traces {directory}/traces {scenario}"
        )
    }

    fn difference(&self, scenario: &str, transport: &str) -> Option<&Difference> {
        self.differences.list.iter().find(|difference| {
            difference.scenario == scenario
                && difference.over.as_ref().is_none_or(|over| over.iter().any(|o| o == transport))
        })
    }

    /// Nothing is missing, nothing is left over, and every difference has its reason.
    pub(crate) fn check(&self) -> Result<(), String> {
        let wrong = [self.check_scenarios(), self.check_differences(), self.check_rows()].concat();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    fn check_scenarios(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let names: BTreeSet<&str> = self.scenarios.iter().map(|s| s.name.as_str()).collect();
        if names.len() != self.scenarios.len() {
            wrong.push("two scenarios have the same name".to_owned());
        }
        for name in self.recorded.keys().filter(|name| !names.contains(name.as_str())) {
            wrong.push(format!("the trace {name} has no scenario: delete traces/{name}.txt"));
        }
        wrong.extend(self.scenarios.iter().filter_map(|scenario| grammar::check(scenario).err()));
        for (scenario, transport) in self.runs() {
            let name = &scenario.name;
            for mode in ["poll", "poll2"] {
                match self.recorded(name, transport, mode) {
                    Ok(trace)
                        if steps(trace) == scenario.steps
                            && self.recorded[name].channels == self.channels[name] => {}
                    Ok(_) => {
                        let how = self.how_to_record(name);
                        wrong.push(format!("{name} has changed since it was recorded; {how}"));
                    }
                    Err(error) => wrong.push(error),
                }
            }
        }
        wrong.dedup();
        wrong
    }

    fn check_differences(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for difference in &self.differences.list {
            let name = &difference.scenario;
            let is_this = |other: &Difference| ptr::eq(other, difference);
            let shows = |transport: &str, mode: &str| {
                self.difference(name, transport).is_some_and(is_this)
                    && self
                        .recorded(name, transport, mode)
                        .is_ok_and(|trace| *trace != lines(&difference.trace))
            };
            let mut transports = self.runs().filter(|(scenario, _)| scenario.name == *name);
            if !transports.any(|(_, over)| shows(over, "poll") || shows(over, "poll2")) {
                wrong.push(format!(
                    "{name}: there is no such difference; take it out of differences.toml"
                ));
            }
            if difference.rows.is_empty() {
                wrong.push(format!("{name}: a difference without a row that is its reason"));
            }
        }
        wrong
    }

    fn check_rows(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let named: BTreeSet<&String> =
            self.differences.list.iter().flat_map(|difference| &difference.rows).collect();
        let rows: BTreeSet<&String> = self.rows.keys().collect();
        for row in named.difference(&rows) {
            wrong.push(format!("there is no row {row} to differ by in [rows] of differences.toml"));
        }
        if self.is_foreign {
            return wrong;
        }
        for row in rows.difference(&named) {
            wrong.push(format!("no difference shows the row {row} of differences.toml"));
        }
        let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/PORTING.md")).unwrap();
        for row in rows.iter().filter(|row| !guide.contains(&format!("\n| {row} | "))) {
            wrong.push(format!("PORTING.md does not tell of the row {row}"));
        }
        wrong
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn parse<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, String> {
    toml::from_str(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))
}

/// What the head of each recorded trace has to say: the channels, in words that both languages
/// have.
fn channels_of(scenarios: &toml::Table) -> HashMap<String, Vec<String>> {
    let words = |value: &toml::Value| match value {
        toml::Value::String(word) => word.clone(),
        toml::Value::Array(words) => {
            words.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(" | ")
        }
        other => other.to_string(),
    };
    let of_one = |scenario: &toml::Value| {
        let definitions = scenario.get("channels").and_then(toml::Value::as_table);
        let mut lines = Vec::new();
        for (name, definition) in definitions.into_iter().flatten() {
            for (key, value) in definition.as_table().into_iter().flatten() {
                lines.push(format!("{name}.{key} = {}", words(value)));
            }
        }
        Some((scenario.get("name")?.as_str()?.to_owned(), lines))
    };
    let list = scenarios.get("scenario").and_then(toml::Value::as_array);
    list.into_iter().flatten().filter_map(of_one).collect()
}

impl Recorded {
    /// The channels, then the traces, each headed by its runs: `== tcp4/poll unix/poll`.
    fn parse(text: &str) -> Self {
        let (mut channels, mut traces) = (Vec::new(), HashMap::<String, Trace>::new());
        let mut runs: Vec<&str> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(heading) = line.strip_prefix("== ") {
                runs = heading.split(' ').collect();
            } else if let (Some(channel), true) = (line.strip_prefix("# "), runs.is_empty()) {
                channels.push(channel.to_owned());
            } else {
                for run in &runs {
                    traces.entry((*run).to_owned()).or_default().push(line.to_owned());
                }
            }
        }
        Self { channels, traces }
    }
}

fn lines(text: &str) -> Trace {
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn steps(trace: &[String]) -> Vec<&str> {
    trace.iter().filter_map(|line| line.strip_prefix("> ")).collect()
}
