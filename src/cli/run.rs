//! `confirmd run`.

use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::CliError;
use crate::clock::Clock;
use crate::config::Settings;
use crate::daemon::Daemon;
use crate::telemetry;

/// Runs the daemon until SIGTERM or SIGINT; SIGHUP reloads the registry.
pub(super) fn run(path: &Path) -> Result<ExitCode, CliError> {
    let settings = Settings::load(path)?;
    telemetry::log_to_stderr();
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    // Losing a race for the default is fine: whoever was first installed the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let daemon = Daemon::start(settings, Clock::system()).await?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break info!("SIGTERM: stopping"),
                _ = interrupt.recv() => break info!("SIGINT: stopping"),
                _ = hangup.recv() => {
                    info!("SIGHUP: reloading");
                    // Its outcome is logged by whoever does it.
                    let _ = daemon.reload().await;
                }
            }
        }
        daemon.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}
