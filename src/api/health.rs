//! Whether confirmd is alive and ready, and its metrics.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::context::{Context, Live};
use super::status::{StoreAnswer, networks};
use crate::store::FollowerState;

pub(super) fn routes() -> OpenApiRouter<Live> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(scrape))
}

/// That confirmd is alive.
#[derive(Debug, Serialize, ToSchema)]
struct HealthAnswer {
    /// Always `ok`.
    status: &'static str,
}

/// Whether confirmd is alive
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()),
    responses((status = 200, body = HealthAnswer)))]
async fn healthz() -> Json<HealthAnswer> {
    Json(HealthAnswer { status: "ok" })
}

/// Whether confirmd can do its work.
#[derive(Debug, Serialize, ToSchema)]
struct ReadyAnswer {
    /// False where the store or its schema fails.
    ready: bool,
    /// The store.
    store: StoreAnswer,
    /// How each network is followed. A stalled network does not make confirmd unready: the API,
    /// the webhooks and the other networks go on (I9).
    networks: BTreeMap<String, FollowerState>,
}

/// Whether confirmd can do its work
///
/// 503 only when the store or its schema fails.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses((status = 200, body = ReadyAnswer),
        (status = 503, body = ReadyAnswer, description = "The store fails")))]
async fn readyz(State(context): State<Context>) -> Response {
    let store = StoreAnswer::of(&context.store);
    let followed = async {
        context.store.ping().await?;
        networks(&context).await
    };
    let (status, ready, networks) = match followed.await {
        Ok(networks) => {
            let states = networks.into_iter().map(|network| (network.network, network.state));
            (StatusCode::OK, true, states.collect())
        }
        Err(error) => {
            tracing::error!(%error, "the store fails");
            (StatusCode::SERVICE_UNAVAILABLE, false, BTreeMap::new())
        }
    };
    (status, Json(ReadyAnswer { ready, store, networks })).into_response()
}

/// Metrics in Prometheus's text format
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, body = String, content_type = "text/plain; version=0.0.4")))]
async fn scrape(State(context): State<Context>) -> Response {
    // Any instance shows what all of them have; without the store the last numbers stay.
    if let Ok(open) = context.store.open_intents().await {
        for (status, count) in open {
            let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            metrics::gauge!("confirmd_intents_open", "status" => status).set(count);
        }
    }
    if let Ok(networks) = networks(&context).await {
        for network in networks {
            for state in FollowerState::ALL {
                let is_it = f64::from(u8::from(network.state == state));
                let labels =
                    [("network", network.network.clone()), ("state", state.as_str().into())];
                metrics::gauge!("confirmd_network_state", &labels).set(is_it);
            }
        }
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], context.metrics.render()).into_response()
}
