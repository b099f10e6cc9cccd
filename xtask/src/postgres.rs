//! A private PostgreSQL on a free port of 127.0.0.1, with databases for tests.

use std::{
    env,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use nix::{
    sys::signal::Signal,
    unistd::{User, geteuid},
};
use tempfile::TempDir;

use crate::{
    Error, Result, apt,
    process::{self, Server, free_port, on_blocking_thread},
};

/// Where `cargo xtask test` tells the tests which server they share: the URL of its `postgres`
/// database.
pub const SHARED_URL: &str = "CONFIRMD_TEST_POSTGRES";

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
/// Another process may take the free port before the server does.
const PORT_TRIES: u32 = 5;
const SETTINGS: &[&str] =
    &["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"];
/// Nothing is kept when a test ends, so nothing need reach the disk.
const FORGETFUL: &[&str] = &["fsync=off", "full_page_writes=off", "synchronous_commit=off"];

/// How a server behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct PostgresOptions {
    /// Commits reach the disk, as in production; off makes tests quick.
    pub durable: bool,
}

/// A running server of our own. Dropped, it is stopped and its data is removed.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    cluster: Cluster,
}

/// What outlives a restart.
#[derive(Debug)]
struct Cluster {
    programs: PathBuf,
    user: Option<User>,
    data: TempDir,
    port: u16,
    options: PostgresOptions,
}

impl Postgres {
    /// Installs PostgreSQL where it is missing and we are root, makes a cluster in a temporary
    /// folder and starts it.
    ///
    /// # Errors
    /// What stands in the way; [`Error::Missing`] says what to install.
    pub async fn start(options: PostgresOptions) -> Result<Self> {
        let mut cluster = on_blocking_thread(move || Cluster::create(options)).await?;
        for _ in 1..PORT_TRIES {
            match cluster.serve().await {
                Ok(server) => return Ok(Self { server, cluster }),
                Err(Error::Failed { output, .. }) if output.contains("in use") => {
                    cluster.port = free_port()?;
                }
                Err(error) => return Err(error),
            }
        }
        let server = cluster.serve().await?;
        Ok(Self { server, cluster })
    }

    /// The URL of its `postgres` database, as its superuser.
    pub fn url(&self) -> String {
        self.cluster.url()
    }

    /// Makes an empty database, whose name begins with `name`, and gives its URL.
    ///
    /// # Errors
    /// [`Error::Failed`] where the server does not answer.
    pub async fn database(&self, name: &str) -> Result<String> {
        create_database(&self.cluster.programs, &self.url(), name).await
    }

    /// Stops it as an administrator does: running transactions are rolled back.
    ///
    /// # Errors
    /// [`Error::TimedOut`] where it does not end.
    pub async fn stop(&mut self) -> Result<()> {
        self.end(Signal::SIGINT).await
    }

    /// Stops it as a crash does: the next start recovers from the log.
    ///
    /// # Errors
    /// [`Error::TimedOut`] where it does not end.
    pub async fn crash(&mut self) -> Result<()> {
        self.end(Signal::SIGQUIT).await
    }

    /// Starts it again after [`Postgres::stop`] or [`Postgres::crash`], at the same address with
    /// the same data.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn restart(&mut self) -> Result<()> {
        self.server = self.cluster.serve().await?;
        Ok(())
    }

    async fn end(&mut self, signal: Signal) -> Result<()> {
        self.server.signal(signal)?;
        self.server.ended(STOPPED_WITHIN).await.map(drop)
    }
}

/// A database that nobody else uses.
#[derive(Debug)]
pub struct Database {
    url: String,
    /// Kept running for as long as the database is in use, where the server is ours alone.
    _server: Option<Postgres>,
}

impl Database {
    /// Makes one, whose name begins with `name`, on the server that `cargo xtask test` shares
    /// among all tests, else on a server of its own.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn create(name: &str) -> Result<Self> {
        if let Ok(shared) = env::var(SHARED_URL) {
            let programs = on_blocking_thread(programs).await?;
            let url = create_database(&programs, &shared, name).await?;
            return Ok(Self { url, _server: None });
        }
        let server = Postgres::start(PostgresOptions::default()).await?;
        Ok(Self { url: server.database(name).await?, _server: Some(server) })
    }

    /// Its URL: `postgres://user@host:port/name`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Cluster {
    fn create(options: PostgresOptions) -> Result<Self> {
        let programs = programs()?;
        let user = unprivileged()?;
        let data = TempDir::with_prefix("confirmd-postgres-")
            .map_err(Error::io("a temporary folder for PostgreSQL"))?;
        if let Some(user) = &user {
            let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
            chown(data.path(), Some(uid), Some(gid)).map_err(Error::path("chown", data.path()))?;
        }
        let cluster = Self { programs, user, data, port: free_port()?, options };
        let mut initdb = cluster.command("initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        if !options.durable {
            initdb.arg("--no-sync");
        }
        process::run(&mut initdb, "install PostgreSQL 15")?;
        Ok(cluster)
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    async fn serve(&self) -> Result<Server> {
        let mut postgres = self.command("postgres");
        postgres.args(["-p", &self.port.to_string()]);
        let forgetful = if self.options.durable { &[] } else { FORGETFUL };
        for setting in SETTINGS.iter().chain(forgetful) {
            postgres.args(["-c", setting]);
        }
        // Killed outright it would leave its shared memory behind.
        let mut server = Server::start("postgres", &mut postgres, Signal::SIGQUIT)?;
        let is_ready = async || {
            let mut command = tokio::process::Command::new(self.programs.join("pg_isready"));
            let answer = command.args(["--quiet", "--dbname", &self.url()]).status().await;
            answer.is_ok_and(|status| status.success()).then_some(())
        };
        server.until("being ready", READY_WITHIN, is_ready).await?;
        Ok(server)
    }

    /// A command on the data folder, as the user who owns it.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.data.path()).arg("-D").arg(self.data.path());
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }
}

async fn create_database(programs: &Path, server_url: &str, name: &str) -> Result<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{name}_{}_{count}", std::process::id());
    let mut createdb = Command::new(programs.join("createdb"));
    createdb.args(["--maintenance-db", server_url, &name]);
    on_blocking_thread(move || process::run(&mut createdb, "install PostgreSQL 15")).await?;
    let (server, _) = server_url
        .rsplit_once('/')
        .ok_or_else(|| Error::unexpected(SHARED_URL, "not postgres://user@host:port/database"))?;
    Ok(format!("{server}/{name}"))
}

/// The folder of PostgreSQL's programs, installed where they are missing and we are root.
///
/// # Errors
/// As [`apt::install`].
pub fn programs() -> Result<PathBuf> {
    if let Some(programs) = find_programs() {
        return Ok(programs);
    }
    apt::install("PostgreSQL 15", &["postgresql-15"])?;
    find_programs().ok_or_else(|| Error::unexpected("postgresql-15", "installed without initdb"))
}

fn find_programs() -> Option<PathBuf> {
    // Debian keeps most of them out of PATH, so a link there is followed to its companions.
    let in_path = process::find_in_path("initdb").and_then(|file| file.canonicalize().ok());
    in_path.and_then(|file| file.parent().map(Path::to_owned)).or_else(|| {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let folders = versions.flatten().map(|version| version.path().join("bin"));
        folders.filter(|folder| folder.join("initdb").is_file()).max()
    })
}

/// PostgreSQL refuses to run as root: whom to run it as there.
fn unprivileged() -> Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let find = |name| User::from_name(name).ok().flatten();
    let user = find("postgres").or_else(|| find("nobody"));
    user.map(Some).ok_or_else(|| Error::Missing {
        program: "a user to run PostgreSQL as (it refuses root)".into(),
        install: "useradd --system postgres".into(),
    })
}
