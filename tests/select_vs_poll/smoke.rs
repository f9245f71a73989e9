//! A whole report of next to nothing, and what is in it.

use crate::{
    Test,
    process::{Program, Stream, command},
    report::{
        self,
        data::Report,
        plan::{Extent, SCENARIOS},
        sockets::{self, Numbers},
        terminal,
    },
};
use nix::{
    errno::Errno,
    sys::{
        signal::Signal,
        wait::{WaitPidFlag, waitpid},
    },
};
use std::{
    env, fs, os::fd::AsRawFd, path::Path, process::Stdio, sync::atomic::AtomicBool, time::Duration,
};

pub(crate) const TESTS: &[Test] = &[
    ("sockets_get_the_numbers_that_are_asked_for", sockets_get_the_numbers),
    ("a_report_is_whole_and_leaves_nothing_behind", a_report_is_whole),
    ("an_interrupted_report_ends_at_once_and_writes_nothing", an_interrupted_report_ends),
    ("a_folder_that_cannot_be_is_told_before_anything_is_measured", a_folder_that_cannot_be),
];

const SMOKE: Extent = Extent {
    name: "smoke",
    sizes: &[10, 40],
    rounds: 2,
    measurement: Duration::from_micros(100),
    at_most: Duration::from_secs(60),
};

fn sockets_get_the_numbers() {
    let limit = report::raise_the_limit_of_open_files().unwrap();
    let numbers = |numbers: Numbers, count| {
        (numbers.needed(count) <= limit).then(|| {
            let pairs = sockets::open(numbers, count).unwrap();
            assert_eq!(pairs.len(), count / 2);
            let numbers = pairs.iter().flatten().map(|socket| socket.as_raw_fd() as usize);
            numbers.collect::<Vec<_>>()
        })
    };
    let low = numbers(Numbers::Low, 20).unwrap();
    assert!(low.is_sorted() && low[19] < 64, "{low:?}");
    if let Some(high) = numbers(Numbers::High, 20) {
        assert_eq!(high, (10_000..10_020).collect::<Vec<_>>());
    }
    if let Some(scattered) = numbers(Numbers::Scattered, 20) {
        let gaps: Vec<_> = scattered.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| (745..=755).contains(gap)), "{scattered:?}");
    }
}

/// How many descriptors this process has, where that can be seen.
fn descriptors() -> Option<usize> {
    fs::read_dir("/proc/self/fd").ok().map(Iterator::count)
}

fn a_report_is_whole() {
    let before = descriptors();
    let report = report::make(&SMOKE, &AtomicBool::new(false)).unwrap().unwrap();
    let children = waitpid(None, Some(WaitPidFlag::WNOHANG));
    assert_eq!(children, Err(Errno::ECHILD), "a process is left behind");
    assert_eq!(descriptors(), before);
    let missing = SCENARIOS.iter().find(|scenario| {
        let is_of_it = |id| id == scenario.id;
        !report.series.iter().any(|series| is_of_it(series.scenario.id))
            && !report.left_out.iter().any(|left| is_of_it(left.scenario))
            && scenario.id != "ready-1pc"
    });
    assert!(missing.is_none(), "{missing:?}");

    let mut text = Vec::new();
    terminal::print(&report, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let unwrapped = anstream::adapter::strip_str(&text).to_string();
    let unwrapped = unwrapped.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["Crossover points", "Which to take", &report.headline] {
        assert!(unwrapped.contains(part), "no {part:?} in {text}");
    }

    let folder = tempfile::tempdir().unwrap();
    report::write(&report, folder.path()).unwrap();
    check_json(&report, &read(folder.path(), "results.json"));
    check_csv(&report, &read(folder.path(), "results.csv"));
    let page = read(folder.path(), "report.html");
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
    check_markup(&page, "html");
    assert_eq!(page.matches("<figure>").count(), report.series.len());
    check_markup(&read(folder.path(), "overview.svg"), "svg");
}

#[track_caller]
fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn check_json(report: &Report, json: &str) {
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(json["machine"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["headline"], *report.headline);
    let series = json["series"].as_array().unwrap();
    assert_eq!(series.len(), report.series.len());
    for point in series.iter().flat_map(|series| series["points"].as_array().unwrap()) {
        let passes = point["passes"].as_u64().unwrap();
        assert_eq!(point["events"].as_u64(), Some(passes * point["active"].as_u64().unwrap()));
        assert!(point["ratio"]["median"].as_f64().unwrap() > 0.0, "{point}");
    }
}

fn check_csv(report: &Report, csv: &str) {
    let mut rows = 0;
    for row in csv::Reader::from_reader(csv.as_bytes()).deserialize() {
        let row: std::collections::HashMap<String, String> = row.unwrap();
        assert!(["poll", "select"].contains(&&*row["backend"]), "{row:?}");
        assert!(row["ns_per_pass"].parse::<f64>().unwrap() > 0.0, "{row:?}");
        rows += 1;
    }
    let points: usize = report.series.iter().map(|series| series.points.len()).sum();
    assert_eq!(rows, points * SMOKE.rounds * 2);
}

/// Every element is closed, names are not used twice, and nothing comes from elsewhere.
fn check_markup(text: &str, root: &str) {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(text, options).unwrap();
    assert_eq!(document.root_element().tag_name().name(), root);
    let mut names = std::collections::HashSet::new();
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        let tag = node.tag_name().name();
        assert!(!["script", "link", "img", "iframe"].contains(&tag), "<{tag}>");
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(!["src", "href"].contains(&name), "{name}={value}");
            assert!(!value.contains("url(") || value.starts_with("url(#"), "{name}={value}");
            assert!(!value.contains("NaN") && !value.contains("inf"), "{name}={value}");
            assert!(name != "id" || names.insert(value), "two have the name {value}");
        }
        if tag == "svg" {
            assert!(node.attribute("aria-label").is_some_and(|about| !about.is_empty()));
        }
    }
    let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
    for part in ["http:", "https:", "@import"] {
        assert!(!elsewhere.contains(part), "{part}");
    }
}

fn bench(out: &Path) -> std::process::Command {
    let mut bench = command(env::current_exe().unwrap());
    bench.args(["--bench", "--quick", "--out"]).arg(out);
    bench
}

fn an_interrupted_report_ends() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = bench(folder.path()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = Stream::new(child.stderr.take().unwrap());
        let line = stderr.line().unwrap();
        assert!(line.contains("10 descriptors, about"), "{line}");
        let id = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(id, signal).unwrap();
        // Its end: the other process that it may have started would hold it open.
        let rest = String::from_utf8(stderr.rest()).unwrap();
        assert!(rest.ends_with("Interrupted: nothing was written.\n"), "{rest}");
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

fn a_folder_that_cannot_be() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let out = file.path().join("folder");
    let finished = Program::run(&mut bench(&out)).failed(1, &["select_vs_poll", "folder"]);
    assert_eq!(finished.stdout, b"");
    assert!(!finished.stderr.contains("descriptors"), "{}", finished.stderr);
}
