//! Child processes that never outlive us, and whose output can be waited for.

use std::{
    collections::VecDeque,
    env,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

pub use nix::sys::signal::Signal;
use nix::{sys::signal, unistd::Pid};
use tempfile::TempDir;

use crate::{Error, Result};

const POLL: Duration = Duration::from_millis(5);
const TAIL_BYTES: usize = 4_000;
/// How much of a failed compilation is shown.
const TAIL_LINES: usize = 60;

/// Runs a command to its end and gives what it printed on stdout.
///
/// # Errors
/// [`Error::Missing`] with `install` where the program is not there; [`Error::Failed`] with the
/// end of its output where it did not end with 0.
pub fn run(command: &mut Command, install: &str) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| cannot_start(&name, install, source))?;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() {
        return Ok(stdout);
    }
    let output = format!("{stdout}{}", String::from_utf8_lossy(&stderr));
    Err(Error::Failed {
        command: format!("{command:?}"),
        status: status.to_string(),
        output: tail(&output).to_owned(),
    })
}

/// Runs a command to its end and shows `line` each line that it prints, on stdout or on stderr.
///
/// # Errors
/// As [`run`].
pub fn follow(command: &mut Command, install: &str, mut line: impl FnMut(&str)) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let (output, input) = io::pipe().map_err(Error::io("a pipe"))?;
    let second = input.try_clone().map_err(Error::io("a pipe"))?;
    let child = command.stdin(Stdio::null()).stdout(input).stderr(second).spawn();
    // The command keeps its ends of the pipe, which would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.map_err(|source| cannot_start(&name, install, source))?;
    let mut last = VecDeque::with_capacity(TAIL_LINES);
    for text in BufReader::new(output).lines().map_while(io::Result::ok) {
        line(&text);
        if last.len() == TAIL_LINES {
            last.pop_front();
        }
        last.push_back(text);
    }
    let status = child.wait().map_err(Error::io(format!("wait for {name}")))?;
    if status.success() {
        return Ok(());
    }
    let output = last.make_contiguous().join("\n");
    Err(Error::Failed { command: name, status: status.to_string(), output })
}

fn cannot_start(name: &str, install: &str, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => {
            Error::Missing { program: name.to_owned(), install: install.to_owned() }
        }
        _ => Error::Io { what: format!("run {name}"), source },
    }
}

/// A running program: killed when dropped, and also when our own process ends in any way,
/// SIGKILL included.
///
/// Its output goes to files, so that it never blocks on a pipe that nobody reads.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    watchdog: Child,
    last_signal: Signal,
    output: TempDir,
    /// Bytes of stdout that [`Server::line`] has given out.
    read: u64,
}

impl Server {
    /// Starts `command`. In the end it is sent `last_signal`, which must end it: SIGKILL, unless
    /// the program has something to clear away.
    ///
    /// # Errors
    /// [`Error::Io`] where it, or the shell that watches over it, does not start.
    pub fn start(name: &str, command: &mut Command, last_signal: Signal) -> Result<Self> {
        let output = TempDir::with_prefix("confirmd-").map_err(Error::io("a temporary folder"))?;
        let file = |name| {
            let path = output.path().join(name);
            File::create(&path).map_err(Error::path("create", &path))
        };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(file("stdout")?)
            .stderr(file("stderr")?)
            .spawn()
            .map_err(Error::io(format!("start {name}")))?;
        match watch_over(child.id(), last_signal, output.path()) {
            Ok(watchdog) => {
                Ok(Self { name: name.to_owned(), child, watchdog, last_signal, output, read: 0 })
            }
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal: SIGTERM asks it to stop, SIGSTOP and SIGCONT pause and resume it.
    ///
    /// # Errors
    /// [`Error::Io`] where it no longer runs.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()).map_err(|e| Error::unexpected("pid", &e))?;
        signal::kill(Pid::from_raw(pid), signal)
            .map_err(|errno| Error::io(format!("{signal} to {}", self.name))(errno.into()))
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        end(&mut self.child);
    }

    /// Waits until it has ended by itself, and gives its exit code (none where a signal ended it).
    ///
    /// # Errors
    /// [`Error::TimedOut`].
    pub async fn ended(&mut self, within: Duration) -> Result<Option<i32>> {
        let began = Instant::now();
        loop {
            let status = self.child.try_wait().map_err(Error::io(format!("wait {}", self.name)))?;
            if let Some(status) = status {
                return Ok(status.code());
            }
            self.pause(began, within, "its end").await?;
        }
    }

    /// Waits for the next line on its stdout.
    ///
    /// # Errors
    /// [`Error::TimedOut`]; [`Error::Failed`] where it ended without one.
    pub async fn line(&mut self, within: Duration) -> Result<String> {
        let began = Instant::now();
        loop {
            // Asked first: a line that is written right before the end is still read below.
            let running = self.is_running();
            if let Some(line) = self.next_line()? {
                return Ok(line);
            }
            if !running {
                return Err(self.has_ended());
            }
            self.pause(began, within, "a line on stdout").await?;
        }
    }

    /// Waits for `ready` to give a value, as long as the program runs.
    ///
    /// # Errors
    /// [`Error::TimedOut`]; [`Error::Failed`] where it ended first.
    pub async fn until<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut ready: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T> {
        let began = Instant::now();
        loop {
            if let Some(value) = ready().await {
                return Ok(value);
            }
            if !self.is_running() {
                return Err(self.has_ended());
            }
            self.pause(began, within, what).await?;
        }
    }

    /// The end of what it printed, stderr last.
    pub fn output(&self) -> String {
        let read = |name| fs::read(self.output.path().join(name)).unwrap_or_default();
        let text = [read("stdout"), read("stderr")].concat();
        tail(&String::from_utf8_lossy(&text)).to_owned()
    }

    async fn pause(&self, began: Instant, within: Duration, what: &str) -> Result<()> {
        if began.elapsed() < within {
            tokio::time::sleep(POLL).await;
            return Ok(());
        }
        let what = format!("{}: {what}", self.name);
        Err(Error::TimedOut { what, within, output: self.output() })
    }

    fn next_line(&mut self) -> Result<Option<String>> {
        let path = self.output.path().join("stdout");
        let text = read_from(&path, self.read).map_err(Error::path("read", &path))?;
        let Some(end) = text.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        self.read += end as u64 + 1;
        Ok(Some(String::from_utf8_lossy(&text[..end]).into_owned()))
    }

    fn has_ended(&mut self) -> Error {
        let status = self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        Error::Failed { command: self.name.clone(), status, output: self.output() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The watchdog first: once the child is reaped, its id may be another process's.
        end(&mut self.watchdog);
        if self.signal(self.last_signal).and_then(|()| self.signal(Signal::SIGCONT)).is_ok() {
            let _ = self.child.wait();
        } else {
            end(&mut self.child);
        }
    }
}

/// A shell that signals `pid` and removes its output when our end of its stdin closes, which the
/// system does for us whatever ends us.
fn watch_over(pid: u32, signal: Signal, output: &Path) -> Result<Child> {
    const SCRIPT: &str = r#"read -r _; kill "-$1" "$2"; kill -CONT "$2"; rm -rf "$3""#;
    let (signal, pid) = ((signal as i32).to_string(), pid.to_string());
    Command::new("sh")
        .args(["-c", SCRIPT, "watchdog", &signal, &pid])
        .arg(output)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Error::io("start sh"))
}

fn end(child: &mut Child) {
    // Both fail only where it is already gone.
    let _ = child.kill();
    let _ = child.wait();
}

fn read_from(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(text)
}

fn tail(text: &str) -> &str {
    let text = text.trim_end();
    let mut start = text.len().saturating_sub(TAIL_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// Installing and the like take seconds, in which other tasks should go on.
pub(crate) async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::unexpected("the blocking task", &error)))
}

/// A `cargo` command with the environment that a shell would give it.
///
/// `cargo run` tells us about our own package in variables that some build scripts look at: passed
/// on, they would make each `cargo xtask` rebuild what a plain `cargo` has built, and back again.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// A port that nobody listens on, as long as nobody else takes it first.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("a free port"))?;
    Ok(listener.local_addr().map_err(Error::io("a free port"))?.port())
}

/// The program `name` in `PATH`.
pub fn find_in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
