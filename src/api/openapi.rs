//! The OpenAPI document, made from the code, and the Swagger UI that shows it.

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, PathItem};

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, Ref, RefOr, ResponseBuilder, SecurityRequirement};
use utoipa::{OpenApi as _, ToSchema as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use super::context::Live;
use super::problem::Document;
use super::{
    deliveries, endpoints, events, health, intents, networks, orphans, scanner, thresholds, wallets,
};

const KEY: &str = "api_key";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "confirmd",
        description = "Watches blockchains for payments and reports every change by a signed \
                       webhook.\n\nErrors are problem documents (RFC 9457). Clients ignore output \
                       fields, event types and statuses that they do not know. Amounts are \
                       decimal strings; times are RFC 3339 in UTC."
    ),
    components(schemas(Document))
)]
struct Base;

/// Every route with its documentation.
pub(super) fn routes() -> OpenApiRouter<Live> {
    OpenApiRouter::with_openapi(Base::openapi())
        .merge(intents::routes())
        .merge(events::routes())
        .merge(deliveries::routes())
        .merge(endpoints::routes())
        .merge(orphans::routes())
        .merge(wallets::routes())
        .merge(networks::routes())
        .merge(thresholds::routes())
        .merge(scanner::routes())
        .merge(health::routes())
}

/// The OpenAPI 3.1 document.
#[must_use]
pub fn document() -> OpenApi {
    complete(routes().into_openapi())
}

/// `/docs`, with everything that the page loads, and `/openapi.json`.
pub(super) fn swagger_ui(document: OpenApi) -> SwaggerUi {
    SwaggerUi::new("/docs").url("/openapi.json", complete(document))
}

/// What is true of every route is said in one place: the key, and the problem document.
fn complete(mut document: OpenApi) -> OpenApi {
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(KEY, scheme);
    document.security = Some(vec![SecurityRequirement::new(KEY, [] as [&str; 0])]);
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            let problem = Ref::from_schema_name(Document::name());
            let content = ContentBuilder::new().schema(Some(problem)).build();
            let response = ResponseBuilder::new()
                .description("A problem")
                .content("application/problem+json", content)
                .build();
            let responses = &mut operation.responses.responses;
            for response in responses.values_mut() {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    response.description = "What was asked for".to_owned();
                }
            }
            responses.insert("default".to_owned(), RefOr::T(response));
            // The functions' names are unique in their files only, the tags name the files.
            let tag = operation.tags.iter().flatten().next();
            if let (Some(tag), Some(name)) = (tag, &operation.operation_id) {
                operation.operation_id = Some(format!("{tag}_{name}"));
            }
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete]
        .into_iter()
        .flatten()
}
