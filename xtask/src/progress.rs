//! Says what is going on, on stderr, so that nobody stares at a silent terminal.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// Between two signs of life: twice as long each time, up to a minute.
const FIRST_TICK: Duration = Duration::from_secs(10);
const LONGEST_TICK: Duration = Duration::from_secs(60);
const STEP_PERCENT: u64 = 5;

/// Prints one line.
pub fn say(line: &str) {
    eprintln!("xtask: {line}");
}

/// Does `work`, saying that it began, every now and then that it still goes on, and how long it
/// took.
pub fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    say(&format!("{what} …"));
    let (done, still) = mpsc::channel::<()>();
    let result = thread::scope(|scope| {
        scope.spawn(move || {
            let mut tick = FIRST_TICK;
            while still.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
                say(&format!("{what} … still at it, {} s", began.elapsed().as_secs()));
                tick = LONGEST_TICK.min(tick * 2);
            }
        });
        // Moved in, so that the ticker ends with the work, a panic included.
        let _done = done;
        work()
    });
    say(&format!("{what}: {:.1?}", began.elapsed()));
    result
}

/// Says, each few percent, how far a long work is.
#[derive(Debug)]
pub struct Percent<'a> {
    what: &'a str,
    next: u64,
}

impl<'a> Percent<'a> {
    /// For the work `what`.
    pub fn of(what: &'a str) -> Self {
        Self { what, next: STEP_PERCENT }
    }

    /// Called as often as there is something new.
    pub fn reach(&mut self, done: u64, all: u64) {
        let percent = done.saturating_mul(100) / all.max(1);
        if percent >= self.next {
            say(&format!("{}: {percent} % ({done} of {all} steps)", self.what));
            self.next = percent + STEP_PERCENT;
        }
    }
}
