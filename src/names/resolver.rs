//! Lookups that block, on threads that exist only while there are any.

use super::Lookup;
use crate::{Remote, Timer, map::Map};
use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Enough for a name server that is slow, and few enough for a thousand names at once.
const MOST_THREADS: usize = 8;

/// The lookups of one reactor.
pub(crate) struct Resolver {
    queue: Arc<Mutex<Queue>>,
    /// The process, as [`asyncore_backends::forks`] tells it from others: a child has no threads.
    process: u32,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Question>,
    threads: usize,
}

struct Question {
    connecting: Timer,
    lookup: Lookup,
    remote: Remote,
}

impl Map {
    /// Has `lookup` called on a thread; [`resolved`](Self::resolved) hears of what it has found.
    pub(super) fn look_up(&mut self, connecting: Timer, lookup: Lookup) -> io::Result<()> {
        let question = Question { connecting, lookup, remote: self.remote()? };
        if !self.resolver.as_ref().is_some_and(Resolver::is_ours) {
            self.resolver = Some(Resolver::new());
        }
        self.resolver.as_ref().map_or(Ok(()), |resolver| resolver.ask(question))
    }

    /// The answer is not wanted any more.
    pub(super) fn withdraw(&mut self, connecting: Timer) {
        if let Some(resolver) = self.resolver.as_ref().filter(|resolver| resolver.is_ours()) {
            resolver.withdraw(connecting);
        }
    }
}

impl Resolver {
    fn new() -> Self {
        Self { queue: Arc::default(), process: asyncore_backends::forks() }
    }

    fn is_ours(&self) -> bool {
        self.process == asyncore_backends::forks()
    }

    fn ask(&self, question: Question) -> io::Result<()> {
        let mut queue = lock(&self.queue);
        if queue.threads < MOST_THREADS {
            let shared = Arc::clone(&self.queue);
            let thread = thread::Builder::new().name("asyncore-names".into());
            match thread.spawn(move || answer_all(&shared)) {
                Ok(_detached) => queue.threads += 1,
                Err(error) if queue.threads == 0 => return Err(error),
                // Those that are there will come to it.
                Err(_) => {}
            }
        }
        queue.waiting.push_back(question);
        Ok(())
    }

    fn withdraw(&self, connecting: Timer) {
        let mut queue = lock(&self.queue);
        let place = queue.waiting.iter().position(|question| question.connecting == connecting);
        let question = place.and_then(|place| queue.waiting.remove(place));
        drop(queue);
        // What a closure holds is dropped while nothing is locked.
        drop(question);
    }
}

impl Drop for Resolver {
    /// Nobody waits for what hangs.
    fn drop(&mut self) {
        if self.is_ours() {
            let waiting = std::mem::take(&mut lock(&self.queue).waiting);
            drop(waiting);
        }
    }
}

/// What a thread does until no question is left.
fn answer_all(queue: &Mutex<Queue>) {
    while let Some(Question { connecting, lookup, remote }) = next(queue) {
        let result = catch_unwind(AssertUnwindSafe(lookup))
            .unwrap_or_else(|_| Err(io::Error::other("the lookup panicked")));
        // If the reactor is gone, nobody wants to know.
        let _ = remote.post(move |scope| scope.map().resolved(connecting, result));
    }
}

fn next(queue: &Mutex<Queue>) -> Option<Question> {
    let mut queue = lock(queue);
    let question = queue.waiting.pop_front();
    if question.is_none() {
        queue.threads -= 1;
    }
    question
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    // Nothing panics while it is locked.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
