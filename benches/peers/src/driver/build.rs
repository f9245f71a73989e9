//! The programs that are measured: this one, and the same with poll(2) forced upon mio and polling.

use super::process;
use crate::peers::{Entry, Kind};
use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

const FORCED: &str = "--cfg mio_unsupported_force_poll_poll --cfg polling_test_poll_backend";

/// Where the programs are.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) plain: PathBuf,
    forced: Option<PathBuf>,
}

impl Programs {
    /// The command that plays `role` as this peer: a program and the arguments that say who it is.
    pub(crate) fn command(&self, entry: Entry, role: &str) -> Command {
        if entry.kind == Kind::Python {
            let mut command = Command::new("python3");
            command.args(["-W", "ignore"]).arg(manifest_dir().join("src/peers/asyncore_peer.py"));
            command.args([role, entry.method.name()]);
            return command;
        }
        let forced = self.forced.as_ref().filter(|_| entry.forced);
        let mut command = Command::new(forced.unwrap_or(&self.plain));
        command.args([role, &entry.to_string()]);
        command
    }

    /// The version of a peer, or why it cannot be measured.
    pub(crate) fn version(&self, entry: Entry) -> Result<String, String> {
        match (entry.kind, entry.library) {
            (Kind::Bare, _) => Ok("-".into()),
            (Kind::Ours, _) => Ok(ours()),
            (Kind::Peer, "mio" | "polling" | "popol") => Ok(locked(entry.library)),
            (Kind::Python, _) => {
                let mut command = self.command(entry, "version");
                process::line(&mut command, Duration::from_secs(30))
            }
            (Kind::Peer, _) => {
                let mut command = self.command(entry, "version");
                let version = process::line(&mut command, Duration::from_secs(30))?;
                if version.is_empty() {
                    return Err(format!("{}-dev is not installed", entry.library));
                }
                Ok(version)
            }
        }
    }
}

pub(crate) fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds what is not built yet.
pub(crate) fn programs(entries: &[Entry]) -> io::Result<Programs> {
    let plain = env::current_exe()?;
    let forced = entries.iter().any(|entry| entry.forced).then(|| forced(&plain)).transpose()?;
    Ok(Programs { plain, forced })
}

fn forced(plain: &Path) -> io::Result<PathBuf> {
    let directory = plain.ancestors().nth(2).expect("TARGET/release/peers").join("forced");
    eprintln!("building once more, with poll(2) for mio and polling");
    let mut flags = env::var("RUSTFLAGS").unwrap_or_default();
    flags.push(' ');
    flags.push_str(FORCED);
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--locked", "--manifest-path"])
        .arg(manifest_dir().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&directory)
        .env("RUSTFLAGS", flags)
        .stdin(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(io::Error::other("that build failed"));
    }
    Ok(directory.join("release/peers"))
}

/// The version of a dependency.
fn locked(package: &str) -> String {
    let lock = include_str!("../../Cargo.lock");
    let name = format!("name = {package:?}\nversion = \"");
    let version = lock.split(&name).nth(1).and_then(|rest| rest.split('"').next());
    version.unwrap_or("unknown").into()
}

fn ours() -> String {
    let git = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .current_dir(manifest_dir())
        .stderr(Stdio::null())
        .output();
    let commit = git.ok().filter(|output| output.status.success());
    let commit = commit.and_then(|output| String::from_utf8(output.stdout).ok());
    let version = locked("asyncore-rs");
    commit.map_or(version.clone(), |commit| format!("{version}, {}", commit.trim()))
}

/// What compiled it all.
pub(crate) fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output().ok();
    let version = output.and_then(|output| String::from_utf8(output.stdout).ok());
    version.map_or_else(|| "rustc".into(), |version| version.trim().into())
}

/// Whether a program is there.
pub(crate) fn has(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| {
        env::split_paths(&path).any(|part| fs::exists(part.join(program)).unwrap_or(false))
    })
}
