//! Says what is going on, on stderr, so that nobody stares at a silent terminal.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

const TICK: Duration = Duration::from_secs(10);

/// Prints one line.
pub fn say(line: &str) {
    eprintln!("xtask: {line}");
}

/// Does `work`, saying that it began, that it still goes on (every ten seconds), and how long it
/// took.
pub fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    say(&format!("{what} …"));
    let (done, still) = mpsc::channel::<()>();
    let result = thread::scope(|scope| {
        scope.spawn(move || {
            while still.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                say(&format!("{what} … still at it, {} s", began.elapsed().as_secs()));
            }
        });
        // Moved in, so that the ticker ends with the work, a panic included.
        let _done = done;
        work()
    });
    say(&format!("{what}: {:.1?}", began.elapsed()));
    result
}
