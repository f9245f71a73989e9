//! Whether `tests/oracle/COVERAGE.md` tells the truth: the tests that it names exist, and it names
//! every test of CPython's suites.

use libtest_mimic::{Arguments, Completion, Trial};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

const TABLE: &str = include_str!("oracle/COVERAGE.md");

/// A line of the table.
struct Row {
    /// `Class.test_method`; a star at the end of the class stands for any end.
    original: &'static str,
    /// In how many classes.
    count: usize,
    /// `path::function` each; none if it cannot apply.
    counterparts: Vec<&'static str>,
    remark: &'static str,
}

impl Row {
    fn parse(line: &'static str) -> Option<Self> {
        let cells: Vec<_> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
        let [original, count, here, remark] = cells[..] else { panic!("not four cells: {line}") };
        let quoted = |cell: &'static str| cell.split('`').skip(1).step_by(2);
        let original = quoted(original).next()?;
        let count = count.trim().strip_prefix("x ").expect(line).parse().expect(line);
        let counterparts: Vec<_> = quoted(here).collect();
        assert_eq!(counterparts.is_empty(), here.trim() == "cannot apply", "{line}");
        Some(Self { original, count, counterparts, remark: remark.trim() })
    }

    /// Whether this is one of CPython's tests that the row stands for.
    fn covers(&self, test: &str) -> bool {
        match self.original.split_once("*.") {
            None => test == self.original,
            Some((class, method)) => test
                .rsplit_once('.')
                .is_some_and(|(of, name)| of.starts_with(class) && name == method),
        }
    }
}

/// A chapter of the table: a suite of CPython's.
struct Suite {
    /// `test_asyncore`
    name: &'static str,
    rows: Vec<Row>,
    text: &'static str,
}

fn suites() -> Vec<Suite> {
    let chapters = TABLE.split("\n## ").skip(1).map(|chapter| {
        let (title, text) = chapter.split_once('\n').unwrap();
        let name = title.strip_suffix(".py").expect(title);
        Suite { name, rows: text.lines().filter_map(Row::parse).collect(), text }
    });
    let suites: Vec<_> = chapters.collect();
    let names: Vec<_> = suites.iter().map(|suite| suite.name).collect();
    assert_eq!(names, ["test_asyncore", "test_asynchat"]);
    suites
}

fn every_counterpart_exists() {
    let mut sources = BTreeMap::new();
    for row in suites().iter().flat_map(|suite| &suite.rows) {
        for counterpart in &row.counterparts {
            let (path, function) = counterpart.rsplit_once("::").expect(counterpart);
            let source = sources.entry(path).or_insert_with(|| {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
            });
            let mut functions = source
                .lines()
                .filter_map(|line| line.trim_start().strip_prefix("fn ")?.split(['<', '(']).next());
            assert!(functions.any(|name| name == function), "there is no {counterpart}");
        }
    }
}

fn what_has_no_counterpart_has_a_reason() {
    for row in suites().iter().flat_map(|suite| &suite.rows) {
        assert!(!row.counterparts.is_empty() || row.remark.len() > 20, "{}", row.original);
    }
}

fn the_sums_are_right() {
    for suite in suites() {
        let sum = |with: bool| -> usize {
            let rows = suite.rows.iter().filter(|row| row.counterparts.is_empty() != with);
            rows.map(|row| row.count).sum()
        };
        let (with, without) = (sum(true), sum(false));
        let sums = format!(
            "\n{} tests: {with} have a counterpart, {without} cannot apply.\n",
            with + without
        );
        assert!(suite.text.contains(&sums), "{}: {sums}", suite.name);
    }
}

/// CPython's own list of the tests of a suite: `Class.test_method`.
const LIST: &str = r#"
import sys, unittest
def flat(suite):
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from flat(each)
        else:
            yield each.id()
for test in flat(unittest.defaultTestLoader.loadTestsFromName("test." + sys.argv[1])):
    print(test)
"#;

fn python(program: &str, argument: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-W", "ignore", "-c", program, argument]).stdin(Stdio::null());
    command
}

fn has_cpythons_suites() -> bool {
    const IMPORT: &str = "import sys, test.test_asyncore, test.test_asynchat; sys.exit(sys.version_info[:2] != (3, 11))";
    python(IMPORT, "").output().is_ok_and(|output| output.status.success())
}

fn none_of_cpythons_tests_is_missing() {
    for suite in suites() {
        let output = python(LIST, suite.name).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let prefix = format!("test.{}.", suite.name);
        let tests = String::from_utf8(output.stdout).unwrap();
        let tests: Vec<_> =
            tests.lines().map(|test| test.strip_prefix(&prefix).expect(test)).collect();
        for test in &tests {
            let rows = suite.rows.iter().filter(|row| row.covers(test)).count();
            assert_eq!(rows, 1, "{test} is in {rows} rows");
        }
        for row in &suite.rows {
            let count = tests.iter().filter(|test| row.covers(test)).count();
            assert_eq!(count, row.count, "{}", row.original);
        }
    }
}

fn main() {
    let trial = |name, run: fn()| {
        Trial::test(name, move || {
            run();
            Ok(())
        })
    };
    let trials = vec![
        trial("every_counterpart_exists", every_counterpart_exists),
        trial("what_has_no_counterpart_has_a_reason", what_has_no_counterpart_has_a_reason),
        trial("the_sums_are_right", the_sums_are_right),
        Trial::ignorable_test("none_of_cpythons_tests_is_missing", || {
            if !has_cpythons_suites() {
                return Ok(Completion::ignored_with("needs a python3.11 with its own tests"));
            }
            none_of_cpythons_tests_is_missing();
            Ok(Completion::Completed)
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
