//! SECURITY.md names a test for each promise: they are all there.

use std::{fs, path::Path};

fn sources_below(directory: &Path, all: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources_below(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(top.join("SECURITY.md")).unwrap();
    let mut sources = String::new();
    sources_below(&top.join("tests"), &mut sources);
    // The last column of the tables that have such a column.
    let rows =
        page.lines().filter(|line| line.starts_with("| ") && line.matches(" |").count() == 2);
    let cells = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    let names: Vec<_> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        let (test, file) =
            (format!("fn {}", name.trim_end_matches("...")), top.join("tests").join(name));
        let is_there =
            sources.contains(&test) || file.with_extension("rs").exists() || file.is_dir();
        assert!(is_there, "no {name}");
    }
}
