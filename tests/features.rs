//! Each set of features, as a crate outside of the workspace gets it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

/// They share a build directory, where each replaces the other's program.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs cargo, and returns whether that went well, its standard output and its standard error.
fn cargo(arguments: &[&str], manifest: &Path) -> (bool, String, String) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).args(["--quiet", "--color=never", "--no-default-features"]);
    // Whoever could run this test has downloaded everything.
    command.arg("--offline").arg("--manifest-path").arg(manifest);
    command.arg("--target-dir").arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("features"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.success(), stdout, stderr)
}

/// A copy of the downstream crate, beside which cargo may write; with the versions of this
/// workspace.
fn downstream() -> (tempfile::TempDir, PathBuf) {
    let copy = tempfile::tempdir().unwrap();
    let original = Path::new(ROOT).join("tests/downstream");
    let manifest = fs::read_to_string(original.join("Cargo.toml")).unwrap();
    let manifest = manifest.replace(r#"path = "../..""#, &format!("path = {ROOT:?}"));
    assert!(manifest.contains(ROOT));
    let path = copy.path().join("Cargo.toml");
    fs::write(&path, manifest).unwrap();
    fs::create_dir(copy.path().join("src")).unwrap();
    fs::copy(original.join("src/main.rs"), copy.path().join("src/main.rs")).unwrap();
    fs::copy(Path::new(ROOT).join("Cargo.lock"), copy.path().join("Cargo.lock")).unwrap();
    (copy, path)
}

#[track_caller]
fn run(features: &str) -> String {
    let (_copy, manifest) = downstream();
    let (succeeded, stdout, stderr) = cargo(&["run", "--features", features], &manifest);
    assert!(succeeded, "{stderr}");
    // Not a warning of the compiler, and not a print of the library.
    assert_eq!(stderr, "");
    stdout
}

#[test]
fn select_alone_is_the_default() {
    assert_eq!(run("select"), "backend: select\necho: hello\nchannels left: 0\n");
}

#[test]
fn poll_alone_is_the_default() {
    assert_eq!(run("poll"), "backend: poll\necho: hello\nchannels left: 0\n");
}

#[test]
fn of_both_poll_is_the_default() {
    assert_eq!(run("poll,select"), "backend: poll\necho: hello\nchannels left: 0\n");
}

#[test]
fn with_log_there_are_records() {
    for backend in ["poll", "select"] {
        let stdout = run(&format!("log,{backend}"));
        let mut lines = stdout.lines();
        assert_eq!(lines.next(), Some(&*format!("backend: {backend}")));
        assert_eq!(lines.next(), Some("echo: hello"));
        let record = lines.next().unwrap();
        assert!(record.starts_with("log: ERROR asyncore::"), "{record}");
        assert!(record.contains("<channel fd ") && record.ends_with(": that was all"), "{record}");
        assert_eq!(lines.collect::<Vec<_>>(), ["channels left: 0"]);
    }
}

/// Fails unless cargo failed, and for this reason alone.
#[track_caller]
fn assert_says_what_to_do((succeeded, _, stderr): (bool, String, String)) {
    assert!(!succeeded);
    assert_eq!(
        stderr.matches("enable the feature `poll`, `select` or both").count(),
        1,
        "{stderr}"
    );
    assert!(!stderr.contains("error[E") && !stderr.contains("panicked"), "{stderr}");
}

#[test]
fn without_a_backend_the_build_says_what_to_do() {
    assert_says_what_to_do(cargo(&["check"], &Path::new(ROOT).join("Cargo.toml")));
}

#[test]
fn without_a_backend_a_user_is_told_what_to_do() {
    let (_copy, manifest) = downstream();
    assert_says_what_to_do(cargo(&["check"], &manifest));
}

#[test]
fn log_alone_is_not_a_backend() {
    let manifest = Path::new(ROOT).join("Cargo.toml");
    assert_says_what_to_do(cargo(&["check", "--features", "log"], &manifest));
}
