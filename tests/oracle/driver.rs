//! Runs a scenario from its first step to its last.

use crate::{
    book::Scenario,
    text::name_of,
    world::{World, Wrong},
};
use asyncore::{Backend, LoopOptions, Reactor};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    time::Duration,
};

/// For scenarios that need more than the usual descriptors, and for those that panic on purpose.
pub(crate) fn prepare_process() {
    allow_files("again");
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        if payload.downcast_ref() != Some(&"raised") && !payload.is::<Wrong>() {
            usual(panic);
        }
    }));
}

/// The trace of one scenario over one transport.
pub(crate) fn run<B: Backend + Default>(
    scenario: &Scenario,
    transport: &str,
) -> Result<Vec<String>, String> {
    let world = World::new(scenario, transport);
    match catch_unwind(AssertUnwindSafe(|| run_steps::<B>(scenario, &world))) {
        Ok(()) => Ok(world.end()),
        Err(panic) => match panic.downcast::<Wrong>() {
            Ok(wrong) => {
                let (name, number) = (&scenario.name, world.steps());
                let step = &scenario.steps[number - 1];
                let why = wrong.0;
                Err(format!("scenario {name} over {transport}, step {number}: {step}: {why}"))
            }
            Err(panic) => resume_unwind(panic),
        },
    }
}

fn run_steps<B: Backend + Default>(scenario: &Scenario, world: &Rc<World>) {
    let mut reactor = Reactor::with_backend(B::default());
    for step in &scenario.steps {
        world.write(format!("> {step}"));
        let words: Vec<&str> = step.split_whitespace().collect();
        match *words {
            ["pass", ..] => {
                for _ in 0..words.get(1).map_or(1, |count| count.parse().unwrap()) {
                    pass(world, &mut reactor);
                }
            }
            ["loop", ..] => {
                let count = words.get(1).map_or(1000, |count| count.parse().unwrap());
                let timeout = Some(Duration::ZERO);
                let options = LoopOptions { timeout, count: Some(count) };
                guarded(world, || reactor.run_with(options));
                let end = if reactor.is_empty() { ", nothing left" } else { "" };
                world.log(format!("loop returned{end}"));
            }
            ["pump", peer, count] => {
                let more = || pass(world, &mut reactor);
                world.pump(peer, count.parse().unwrap(), more);
            }
            ["close_all"] => guarded(world, || reactor.close_all()),
            ["files", allowed] => allow_files(allowed),
            _ => {
                if let Err(error) = world.act(&mut &mut reactor, step, None) {
                    world.log(format!("raised {}", name_of(&error)));
                }
            }
        }
        world.log_states();
    }
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
        Err(panic) => resume_unwind(panic),
    }
}

/// `none`: no descriptor can be made; `again`: as before.
fn allow_files(allowed: &str) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let soft = if allowed == "none" { 3 } else { hard.min(4096) };
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
}

/// Whether this process may have a descriptor of that number.
pub(crate) fn may_have(number: u64) -> bool {
    getrlimit(Resource::RLIMIT_NOFILE).is_ok_and(|(_, hard)| number < hard)
}
