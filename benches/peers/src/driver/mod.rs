//! The driver: chooses, builds, runs the rounds, reports.

mod build;
mod calls;
mod machine;
mod process;
mod report;
mod results;
mod rounds;
mod targets;

use crate::{
    peers::{self, Entry},
    spec::{self, Spec},
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{fs, io, path::PathBuf, time::Duration};

pub(crate) use process::end_with_parent;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// The work: a name, for all of its sizes, or one size, as 'ring(1000,100)'; all unless given
    works: Vec<String>,
    /// Only peers whose name contains one of these, as "asyncore-rs,mio epoll"
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// A look: 3 short rounds
    #[arg(long)]
    quick: bool,
    /// How many rounds; 15 unless given
    #[arg(long)]
    rounds: Option<usize>,
    /// How long a round of one peer takes samples, in milliseconds; 100 unless given
    #[arg(long)]
    ms: Option<u64>,
    /// No work is begun after so many minutes; what is left out is named
    #[arg(long, default_value_t = 90)]
    minutes: u64,
    /// Where to write the report; benches/BENCHMARKS.md if all work and all peers are run, else
    /// nowhere
    #[arg(long)]
    output: Option<PathBuf>,
}

impl Plan {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 15 }).max(1)
    }

    pub(crate) fn ms(&self) -> u64 {
        self.ms.unwrap_or(if self.quick { 20 } else { 100 })
    }

    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.minutes * 60)
    }

    /// How long the rounds take if nothing is slow, so that whoever waits knows.
    fn estimate(&self, specs: &[Spec], peers: usize) -> Duration {
        // Setting up and a sample of the slowest peers; what was seen on a machine of today.
        let setup = specs.iter().map(|spec| match spec {
            Spec::Echo { idle, .. } => 150 + *idle as u64 / 10,
            Spec::Cold { .. } => 900,
            Spec::Sparse { n, .. } => 60 + *n as u64 / 40,
            _ => 100,
        });
        let each: u64 = setup.map(|setup| setup + self.ms() * 3 / 2).sum();
        Duration::from_millis(each * (self.rounds() * peers) as u64)
    }

    fn specs(&self) -> io::Result<Vec<Spec>> {
        let wanted = |spec: &Spec, name: &str| name == spec.name() || name == spec.to_string();
        if let Some(unknown) =
            self.works.iter().find(|name| !spec::ALL.iter().any(|spec| wanted(spec, name)))
        {
            let known: Vec<_> = spec::ALL.iter().map(ToString::to_string).collect();
            let message = format!("there is no work {unknown:?}; there is {}", known.join(", "));
            return Err(io::Error::other(message));
        }
        let chosen = |spec: &&Spec| {
            self.works.is_empty() || self.works.iter().any(|name| wanted(spec, name))
        };
        Ok(spec::ALL.iter().filter(chosen).copied().collect())
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let chosen = |entry: &&Entry| {
            self.peers.is_empty()
                || self.peers.iter().any(|part| entry.to_string().contains(part.as_str()))
        };
        let entries: Vec<_> = peers::ALL.iter().filter(chosen).copied().collect();
        if entries.is_empty() {
            let known: Vec<_> = peers::ALL.iter().map(ToString::to_string).collect();
            let message = format!("no such peer; there is {}", known.join(", "));
            return Err(io::Error::other(message));
        }
        Ok(entries)
    }
}

pub(crate) fn run(plan: Plan) -> io::Result<()> {
    let (specs, entries) = (plan.specs()?, plan.entries()?);
    // For this process and all that it starts.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;

    let load_before = machine::load_average();
    let programs = build::programs(&entries)?;
    let estimate = plan.estimate(&specs, entries.len());
    eprintln!(
        "work: {}, peers: {}, rounds: {}; about {:.0} minutes if the machine has nothing else to \
         do, and no work is begun after {}; load average: {load_before}",
        specs.len(),
        entries.len(),
        plan.rounds(),
        (estimate.as_secs_f64() / 60.0).ceil(),
        plan.minutes,
    );
    let mut results = rounds::run(&plan, &specs, &entries, &programs)?;
    results.load_before = load_before;
    results.calls = calls::count(&specs, &results, &programs);
    calls::check(&results.calls, &mut results.works);

    let report = report::write(&results);
    let everything = specs.len() == spec::ALL.len() && entries.len() == peers::ALL.len();
    let default = || build::manifest_dir().join("../BENCHMARKS.md");
    match plan.output.or_else(|| (everything && !plan.quick).then(default)) {
        Some(path) => {
            fs::write(&path, report)?;
            eprintln!("written: {}", path.display());
        }
        None => print!("{report}"),
    }
    Ok(())
}
