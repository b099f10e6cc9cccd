//! Problem documents (RFC 9457): the one place where an error becomes an answer.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::config::{self, ConfigError, Scope};
use crate::reload::ReloadError;
use crate::settlement::ResolveError;
use crate::store::StoreError;

/// How long a client is asked to wait where waiting may help, in seconds.
const RETRY_AFTER_SECONDS: u32 = 5;
/// Room under the limit of open intents comes with payments and expiries, so a minute is soon.
const RETRY_AFTER_LIMIT_SECONDS: u32 = 60;

/// Why a request was refused or failed. None of them quotes what the request held (I12).
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The body is not JSON.
    #[error("the body is not JSON: {fault} at line {line}, column {column}")]
    MalformedJson {
        /// What is wrong.
        fault: &'static str,
        /// Where, counted from 1.
        line: usize,
        /// Where, counted from 1.
        column: usize,
    },
    /// The request itself cannot be read.
    #[error("{0}")]
    Malformed(&'static str),
    /// Nothing is left to be sent again.
    #[error("no delivery of it is dead or waiting, so there is nothing to retry")]
    NothingToRetry,
    /// No key, or none that is known.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// The key may not do this.
    #[error("the key lacks the scope `{}`", .0.as_str())]
    Forbidden(Scope),
    /// There is no such thing, or it belongs to another account.
    #[error("there is no {0} of this name")]
    NotFound(&'static str),
    /// No link or QR code can say how the rail is paid.
    #[error("the rail has no payment URI: none can say its reference")]
    NoPaymentUri,
    /// No route has this path.
    #[error("no route has this path; /docs shows them all")]
    NoRoute,
    /// The route has other methods.
    #[error("the route does not have this method; /docs shows those that it has")]
    MethodNotAllowed,
    /// The id was used for another request.
    #[error("an intent of this id was created by another request")]
    IdConflict,
    /// Another open intent waits for the same, or the address is another account's.
    #[error(
        "another open intent waits for this asset at this address, or another account's wallet has \
         it; several intents share one only where each has its own `reference` or exact amount"
    )]
    AddressInUse {
        /// The rail's place in the request.
        rail: usize,
    },
    /// The id was used for another wallet.
    #[error("a wallet of this id was registered by another request")]
    WalletConflict,
    /// An address is another wallet's already; where in the request.
    #[error("another wallet has this address")]
    WalletAddressInUse(String),
    /// Too many addresses in a row were handed out and not paid.
    #[error(
        "{0} addresses in a row were handed out and none of them was paid; a wallet that is \
         restored from its seed may look no further. Hand one out again by its index, or register \
         the next account's key (…/1') as another wallet with a higher gap_limit: that of this one \
         cannot be changed"
    )]
    GapLimit(u32),
    /// An imported list has no more addresses.
    #[error(
        "every address of the list was handed out or paid; POST /v1/wallets/{{id}}/import adds more"
    )]
    WalletEmpty,
    /// The address goes by another name, or is not there.
    #[error("the address of this index goes by another external_id, or the wallet has none")]
    AddressTaken,
    /// Money was seen, so the intent can neither be changed nor cancelled.
    #[error("money was already seen for this intent")]
    MoneySeen,
    /// The intent is over, so it can neither be changed nor cancelled.
    #[error("the intent is over, so there is nothing to change or cancel")]
    Closed,
    /// An orphan stays as it is.
    #[error("{0}")]
    Unresolved(#[from] ResolveError),
    /// The body is larger than the API takes.
    #[error("the body has more than {limit} bytes")]
    BodyTooLarge {
        /// The most that it may have.
        limit: usize,
    },
    /// The body is not said to be JSON.
    #[error("expected a body of content-type application/json")]
    UnsupportedMediaType,
    /// Values that cannot be used: all of them.
    #[error("{}", summary(.0))]
    Invalid(Vec<FieldError>),
    /// Registry or configuration files that cannot be used: all that is wrong with them.
    #[error("{}", summary(.0))]
    InvalidRegistry(Vec<FieldError>),
    /// Intents need what the registry or configuration files leave out or change.
    #[error("{}", summary(.0))]
    RegistryInUse(Vec<FieldError>),
    /// The key has as many open intents as it may.
    #[error("the key has {0} open intents, as many as it may")]
    OpenIntentsLimit(u64),
    /// The store is busy or gone.
    #[error("the store does not answer at present; ask again")]
    StoreUnavailable,
    /// No provider says what was asked for.
    #[error("no provider answers at present, ask again: {0}")]
    ProvidersUnavailable(String),
    /// The answer took too long.
    #[error("the answer took longer than {0} seconds")]
    TooSlow(u64),
    /// Something that cannot happen did.
    #[error("confirmd failed; its log has more under this request_id")]
    Internal,
}

/// One value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// A JSON pointer into the body (`/rails/0/address`), `?name` for a parameter of the URL, or
    /// file, line and key of a file (`networks/bsc.toml:12: tokens[0].decimals`).
    #[schema(examples("/rails/0/address"))]
    pub pointer: String,
    /// What is wrong and what was expected.
    pub detail: String,
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document {
    /// A URI that names the kind of problem.
    #[schema(examples("urn:confirmd:problem:invalid-value"))]
    r#type: String,
    /// The kind of problem in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(examples(422))]
    status: u16,
    /// What is wrong with this request.
    detail: String,
    /// The kind of problem, for programs.
    #[schema(examples("invalid-value"))]
    code: &'static str,
    /// The id of the request, as in the header `x-request-id` and in the log.
    request_id: String,
    /// The values that cannot be used, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

/// Travels with an answer until the outermost layer, which knows the request's id, writes it out.
#[derive(Clone, Debug)]
struct Pending {
    code: &'static str,
    title: &'static str,
    detail: String,
    errors: Vec<FieldError>,
}

impl FieldError {
    /// A value at `pointer` that cannot be used.
    #[must_use]
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }

    /// Something that is wrong with a file, or worth knowing.
    pub(super) fn of_file(problem: &config::Problem) -> Self {
        Self::new(problem.place(), &problem.message)
    }
}

impl Problem {
    /// One value that cannot be used.
    #[must_use]
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, detail)])
    }

    /// Status, code and title.
    const fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::MalformedJson { .. } => {
                (StatusCode::BAD_REQUEST, "malformed-json", "The body is not JSON")
            }
            Self::Malformed(_) => {
                (StatusCode::BAD_REQUEST, "malformed", "The request cannot be read")
            }
            Self::NothingToRetry => {
                (StatusCode::BAD_REQUEST, "nothing-to-retry", "Nothing to retry")
            }
            Self::Unauthorized(_) => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "A known API key is needed")
            }
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden", "The key may not do this"),
            Self::NotFound(_) | Self::NoPaymentUri => {
                (StatusCode::NOT_FOUND, "not-found", "Not found")
            }
            Self::NoRoute => (StatusCode::NOT_FOUND, "no-route", "No such route"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed")
            }
            Self::IdConflict => (StatusCode::CONFLICT, "id-conflict", "The id is taken"),
            Self::AddressInUse { .. } => {
                (StatusCode::CONFLICT, "address-in-use", "The address is in use")
            }
            Self::WalletConflict => (StatusCode::CONFLICT, "id-conflict", "The id is taken"),
            Self::WalletAddressInUse(_) => {
                (StatusCode::CONFLICT, "address-in-use", "The address is in use")
            }
            Self::GapLimit(_) => (StatusCode::CONFLICT, "gap-limit", "Too many unpaid addresses"),
            Self::WalletEmpty => (StatusCode::CONFLICT, "wallet-empty", "No address is left"),
            Self::AddressTaken => (StatusCode::CONFLICT, "address-taken", "The address is taken"),
            Self::MoneySeen => (StatusCode::CONFLICT, "money-seen", "Money was already seen"),
            Self::Closed => (StatusCode::CONFLICT, "closed", "The intent is over"),
            Self::Unresolved(error) => (StatusCode::CONFLICT, unresolved(error), "Not resolved"),
            Self::BodyTooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large")
            }
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body is not said to be JSON",
            ),
            Self::Invalid(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-value", "A value cannot be used")
            }
            Self::InvalidRegistry(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid-registry",
                "The registry's files cannot be used",
            ),
            Self::RegistryInUse(_) => {
                (StatusCode::CONFLICT, "registry-in-use", "The registry is in use")
            }
            Self::OpenIntentsLimit(_) => {
                (StatusCode::TOO_MANY_REQUESTS, "open-intents-limit", "Too many open intents")
            }
            Self::StoreUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", "The store is unavailable")
            }
            Self::ProvidersUnavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "providers-unavailable", "No provider answers")
            }
            Self::TooSlow(_) => (StatusCode::SERVICE_UNAVAILABLE, "too-slow", "Took too long"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "confirmd failed"),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::WalletConflict => vec![FieldError::new("/id", self.to_string())],
            Self::WalletAddressInUse(pointer) => {
                vec![FieldError::new(pointer.as_str(), self.to_string())]
            }
            Self::Invalid(errors) | Self::InvalidRegistry(errors) | Self::RegistryInUse(errors) => {
                errors.clone()
            }
            Self::IdConflict => vec![FieldError::new("/id", self.to_string())],
            Self::Unresolved(ResolveError::WouldNotPay(_)) => {
                vec![FieldError::new("/intent", self.to_string())]
            }
            Self::AddressInUse { rail } => {
                vec![FieldError::new(format!("/rails/{rail}/address"), self.to_string())]
            }
            _ => Vec::new(),
        }
    }

    /// The problem that an answer without a document of ours stands for.
    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NoRoute,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            _ if status.is_client_error() => Self::Malformed("the request cannot be read"),
            _ => Self::Internal,
        }
    }
}

const fn unresolved(error: &ResolveError) -> &'static str {
    match error {
        ResolveError::NoOrphan => "no-orphan",
        ResolveError::Resolved(_) => "already-resolved",
        ResolveError::WouldNotPay(_) => "would-not-pay",
        ResolveError::Entangled => "entangled",
    }
}

fn summary(errors: &[FieldError]) -> String {
    match errors {
        [] => "a value cannot be used".to_owned(),
        [one] => format!("{}: {}", one.pointer, one.detail),
        [first, rest @ ..] => {
            format!("{}: {} (and {} more)", first.pointer, first.detail, rest.len())
        }
    }
}

/// What went wrong in the store is for the log: it may speak of tables and hosts.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed under a request");
        match error {
            StoreError::Corrupt(_) => Self::Internal,
            _ => Self::StoreUnavailable,
        }
    }
}

/// Files are named and quoted as `confirmd check` does: without any secret (I12).
impl From<ReloadError> for Problem {
    fn from(error: ReloadError) -> Self {
        let errors = |found: ConfigError| found.problems.iter().map(FieldError::of_file).collect();
        match error {
            ReloadError::Files(found) => Self::InvalidRegistry(errors(found)),
            ReloadError::InUse(found) => Self::RegistryInUse(errors(found)),
            ReloadError::Store(error) => error.into(),
            ReloadError::Stopping => Self::StoreUnavailable,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, title) = self.kind();
        let mut response = status.into_response();
        let headers = response.headers_mut();
        match &self {
            Self::Unauthorized(_) => {
                let challenge = HeaderValue::from_static("Bearer realm=\"confirmd\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            Self::StoreUnavailable | Self::TooSlow(_) => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
            }
            Self::OpenIntentsLimit(_) => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER_LIMIT_SECONDS.into());
            }
            _ => {}
        }
        let (detail, errors) = (self.to_string(), self.errors());
        response.extensions_mut().insert(Pending { code, title, detail, errors });
        response
    }
}

/// Gives an answer that is an error its document; one that is not, is left as it is.
pub(super) fn document(mut response: Response, request_id: &str) -> Response {
    let status = response.status();
    let pending = response.extensions_mut().remove::<Pending>();
    let ours = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let failed = status.is_client_error() || status.is_server_error();
    if pending.is_none() && (ours || !failed) {
        return response;
    }
    let Some(Pending { code, title, detail, errors }) = pending else {
        return document(Problem::of_status(status).into_response(), request_id);
    };
    let (r#type, request_id) = (format!("urn:confirmd:problem:{code}"), request_id.to_owned());
    let status_code = status.as_u16();
    let document =
        Document { r#type, title, status: status_code, detail, code, request_id, errors };
    let mut answer = (status, Json(document)).into_response();
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    let content_type = HeaderValue::from_static("application/problem+json");
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    answer
}
