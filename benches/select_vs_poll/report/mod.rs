//! From the command line to the finished report.

pub(crate) mod data;
pub(crate) mod findings;
mod machine;
mod measure;
mod page;
pub(crate) mod plan;
mod plot;
mod prices;
mod progress;
pub(crate) mod sockets;
pub(crate) mod stats;
pub(crate) mod terminal;
pub(crate) mod waker;
mod work;

use asyncore::{Backend, Select};
use clap::Parser;
use data::{Point, Report, Series};
use machine::Machine;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use plan::{Extent, LeftOut, SCENARIOS};
use plot::Width;
use progress::Progress;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use std::{
    env,
    error::Error,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Measure select against poll, and say which to take
#[derive(Debug, Parser)]
#[command(name = "select_vs_poll", after_help = "Takes some minutes, six at the most.")]
struct Args {
    /// Fewer sizes and rounds: less than a minute
    #[arg(long)]
    quick: bool,
    /// Where to write results.csv, results.json, report.html and overview.svg [default:
    /// select_vs_poll in the build directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}

pub(crate) fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some(waker::ARGUMENT) {
        return match waker::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let args = Args::parse();
    if !args.bench {
        // `cargo test --benches`: it is enough that this compiles.
        return ExitCode::SUCCESS;
    }
    let extent = if args.quick { plan::QUICK } else { plan::FULL };
    let out = args.out.unwrap_or_else(|| {
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
        temporary.parent().unwrap_or(temporary).join("select_vs_poll")
    });
    match run(&extent, &out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("Interrupted: nothing was written.");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("select_vs_poll: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, prints and writes; false if a signal has ended it before.
fn run(extent: &Extent, out: &Path) -> Result<bool> {
    // Before the minutes that it takes: they may not be for nothing.
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&interrupted))?;
    }
    let Some(report) = make(extent, &interrupted)? else { return Ok(false) };
    write(&report, out)?;
    let mut stdout = anstream::stdout().lock();
    terminal::print(&report, &mut stdout)?;
    writeln!(stdout, "\n{}", out.join("report.html").display())?;
    Ok(true)
}

/// The finished report; none if it was interrupted.
pub(crate) fn make(extent: &Extent, interrupted: &AtomicBool) -> Result<Option<Report>> {
    let mut machine = Machine::look(raise_the_limit_of_open_files()?);
    let (tasks, mut left_out) = plan::tasks(extent, machine.descriptors);
    let mut series: Vec<Series> = SCENARIOS.iter().map(Series::new).collect();
    let mut progress = Progress::new(&tasks, extent);
    for task in tasks {
        if progress.elapsed() > extent.at_most {
            left_out.push(LeftOut::for_want_of_time(&task));
            continue;
        }
        progress.begin(&task);
        let rounds = measure::measure(task, extent, interrupted)?;
        if interrupted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let of_task = |series: &&mut Series| series.scenario.id == task.scenario.id;
        series.iter_mut().find(of_task).unwrap().points.push(Point::new(task, rounds));
        progress.end(&task, extent);
    }
    machine.look_again();
    Ok(Some(Report::new(machine, extent.clone(), progress.elapsed(), series, left_out)))
}

pub(crate) fn write(report: &Report, out: &Path) -> Result<()> {
    report.write_csv(&out.join("results.csv"))?;
    fs::write(out.join("results.json"), report.to_json()?)?;
    fs::write(out.join("report.html"), page::render(report)?)?;
    if let Some(plot) = plot::overview(&report.series, Width::Wide) {
        svg::save(out.join("overview.svg"), &plot::standalone(plot))?;
    }
    Ok(())
}

/// As far as it goes, and as far as it is of use. Returns how many descriptors both backends can
/// watch.
pub(crate) fn raise_the_limit_of_open_files() -> io::Result<usize> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = soft.max(hard.min(plan::MOST_DESCRIPTORS));
    let raised = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok();
    let limit = usize::try_from(if raised { wanted } else { soft }).unwrap_or(usize::MAX);
    Ok(Select::FD_LIMIT.map_or(limit, |numbers| limit.min(numbers as usize)))
}
