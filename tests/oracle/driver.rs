//! Runs a scenario from its first step to its last.

use crate::{book::Scenario, text::name_of, world::World};
use asyncore::{Backend, LoopOptions, Reactor};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

/// For scenarios that need more than the usual descriptors, and for those that panic on purpose.
pub(crate) fn prepare_process() {
    allow_files("again");
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref() != Some(&"raised") {
            usual(panic);
        }
    }));
}

/// The trace of one scenario over one transport.
pub(crate) fn run<B: Backend + Default>(scenario: &Scenario, transport: &str) -> Vec<String> {
    let world = World::new(scenario, transport);
    let mut reactor = Reactor::with_backend(B::default());
    for step in &scenario.steps {
        world.write(format!("> {step}"));
        let words: Vec<&str> = step.split_whitespace().collect();
        match *words {
            ["pass", ..] => {
                for _ in 0..words.get(1).map_or(1, |count| count.parse().unwrap()) {
                    pass(&world, &mut reactor);
                }
            }
            ["loop", ..] => {
                let count = words.get(1).map_or(1000, |count| count.parse().unwrap());
                let timeout = Some(Duration::ZERO);
                let options = LoopOptions { timeout, count: Some(count) };
                guarded(&world, || reactor.run_with(options));
                let end = if reactor.is_empty() { ", nothing left" } else { "" };
                world.log(format!("loop returned{end}"));
            }
            ["pump", peer, count] => {
                let more = || pass(&world, &mut reactor);
                world.pump(peer, count.parse().unwrap(), more);
            }
            ["close_all"] => guarded(&world, || reactor.close_all()),
            ["files", allowed] => allow_files(allowed),
            _ => {
                if let Err(error) = world.act(&mut &mut reactor, step, None) {
                    world.log(format!("raised {}", name_of(&error)));
                }
            }
        }
        world.log_states();
    }
    drop(reactor);
    world.end()
}

fn pass<B: Backend>(world: &World, reactor: &mut Reactor<B>) {
    guarded(world, || reactor.poll(Some(Duration::ZERO)).map(drop));
}

fn guarded(world: &World, run: impl FnOnce() -> std::io::Result<()>) {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => world.log(format!("loop raised {}", name_of(&error))),
        Err(panic) if panic.downcast_ref() == Some(&"raised") => {
            world.log("loop panicked".to_owned());
        }
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// `none`: no descriptor can be made; `again`: as before.
fn allow_files(allowed: &str) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let soft = if allowed == "none" { 3 } else { hard.min(4096) };
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
}
