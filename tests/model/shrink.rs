//! From a long history that fails to a short one.

use crate::{
    history::{Act, End, Step},
    peer::be_impatient,
    trial::{Failure, run},
};
use std::panic::{set_hook, take_hook};

/// The shortest history that was found to fail, and how it does.
pub(crate) fn shrink(history: &[Step], failure: Failure) -> (Vec<Step>, Failure) {
    // Each try may panic.
    let usual = take_hook();
    set_hook(Box::new(|_| {}));
    be_impatient(true);
    let shortest = shrunk(history, failure);
    be_impatient(false);
    set_hook(usual);
    shortest
}

fn shrunk(history: &[Step], mut failure: Failure) -> (Vec<Step>, Failure) {
    let mut shortest = history[..=failure.step].to_vec();
    let mut length = shortest.len().div_ceil(2);
    loop {
        let before = shortest.clone();
        let mut index = 0;
        while index < shortest.len() {
            let end = (index + length).min(shortest.len());
            let shorter = [&shortest[..index], &shortest[end..]].concat();
            match run(&shorter) {
                Ok(_) => index = end,
                Err(found) => {
                    shorter[..=found.step].clone_into(&mut shortest);
                    failure = found;
                }
            }
        }
        if length > 1 {
            length = length.div_ceil(2);
        } else if shortest == before && !simplify(&mut shortest, &mut failure) {
            return (shortest, failure);
        }
    }
}

/// Puts something plainer in the place of one step; false if nothing plainer fails.
fn simplify(history: &mut Vec<Step>, failure: &mut Failure) -> bool {
    for index in 0..history.len() {
        for step in plainer(history[index]) {
            let mut simpler = history.clone();
            simpler[index] = step;
            if let Err(found) = run(&simpler) {
                simpler.truncate(found.step + 1);
                (*history, *failure) = (simpler, found);
                return true;
            }
        }
    }
    false
}

fn plainer(step: Step) -> Vec<Step> {
    let steps = match step {
        Step::Plan { at, call, acts: [first, second], end } => [
            ([Act::Nothing, second], end),
            ([first, Act::Nothing], end),
            ([first, second], End::Usual),
        ]
        .map(|(acts, end)| Step::Plan { at, call, acts, end })
        .to_vec(),
        Step::Do(Act::Replace(at, kind)) => vec![Step::Do(Act::Add(at, kind))],
        Step::Run(_) => vec![Step::Pass],
        _ => Vec::new(),
    };
    steps.into_iter().filter(|plainer| *plainer != step).collect()
}
