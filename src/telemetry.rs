//! Logs and metrics.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
const BLOCKS: [f64; 9] = [1.0, 2.0, 3.0, 5.0, 8.0, 16.0, 32.0, 64.0, 256.0];
/// How often what was measured is summed up.
const SUMMED_UP_EVERY: Duration = Duration::from_secs(5);

/// Logs to standard error: for people on a terminal, as JSON elsewhere or where
/// `CONFIRMD_LOG_FORMAT=json` asks for it. `RUST_LOG` filters; `info` without it.
pub fn log_to_stderr() {
    use std::io::IsTerminal;

    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let wanted = std::env::var("CONFIRMD_LOG_FORMAT");
    let json = match wanted.as_deref() {
        Ok("json") => true,
        Ok("text") => false,
        _ => !std::io::stderr().is_terminal(),
    };
    // A second start in one process (a test) keeps the first one's subscriber.
    let _ = if json {
        registry.with(layer.json()).try_init()
    } else {
        registry.with(layer.with_target(false)).try_init()
    };
}

/// Collects metrics; what the handle renders is in Prometheus' text format. Where the process
/// collects already, the metrics go there.
#[must_use]
pub fn metrics() -> PrometheusHandle {
    let suffix = |text: &str| Matcher::Suffix(text.to_owned());
    let builder = PrometheusBuilder::new();
    let builder = builder.set_buckets_for_metric(suffix("_seconds"), &SECONDS).unwrap_or_default();
    let builder = builder.set_buckets_for_metric(suffix("_blocks"), &BLOCKS).unwrap_or_default();
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    let _ = metrics::set_global_recorder(recorder);
    metrics::gauge!("confirmd_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    handle
}

/// Sums up what was measured, until it is stopped. Histograms keep each value until then or until
/// they are read, and nobody may read them.
pub async fn sum_up(metrics: PrometheusHandle, stop: CancellationToken) {
    let mut every = tokio::time::interval(SUMMED_UP_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => metrics.run_upkeep(),
        }
    }
}
