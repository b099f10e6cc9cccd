//! What several resources' requests and answers have in common.

use confirmd_chain::Confirmations;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::context::Context;
use super::input::{Errors, Field, Object};
use crate::config::{Followed, MAX_CONFIRMATIONS, list_of, nearest};
use crate::settlement::NetworkId;
use crate::store::Actor;

const MAX_ID: usize = 128;
const MAX_ENDPOINTS: usize = 16;

/// Something that was taken otherwise than asked for, or is worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Note {
    /// What it is about, for programs: `below-floor`, or `contract-payments-unseen` (native coin
    /// that a contract sends is not seen, since no provider is known to show call traces).
    pub(super) code: &'static str,
    /// A JSON pointer into the request's body.
    pub(super) pointer: String,
    /// What was done instead, or what to know.
    pub(super) detail: String,
}

/// Whose thing is meant.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "shows the parameters in the OpenAPI document")]
pub(super) struct AccountQuery {
    /// The account, where an admin means another than the key's own.
    account: Option<String>,
}

/// Who is behind the key.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "shows the body in the OpenAPI document; it is read field by field")]
pub(super) struct ActorBody {
    /// The person, for the history.
    actor: Option<String>,
}

/// Who caused something.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ActorAnswer {
    /// `chain`, `threshold`, `clock`, `key` or `person`.
    r#type: String,
    /// The network, the key's name, or the person's.
    name: String,
}

impl From<Actor> for ActorAnswer {
    fn from(actor: Actor) -> Self {
        Self { r#type: actor.kind, name: actor.name }
    }
}

pub(super) fn read_id(object: &mut Object<'_>, errors: &mut Errors) -> Option<String> {
    let expected = "1 to 128 characters of A-Z, a-z, 0-9 and ._:-";
    let field = object.required("id", expected, errors)?;
    let text = field.string(errors)?;
    let fits = (1..=MAX_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte));
    if !fits {
        errors.add(&field.pointer, format!("expected {expected}"));
    }
    fits.then(|| text.to_owned())
}

pub(super) fn read_network<'c>(
    field: &Field<'_>,
    context: &'c Context,
    errors: &mut Errors,
) -> Option<(NetworkId, &'c Followed)> {
    let name = field.string(errors)?;
    let followed = context.followed(name);
    if followed.is_none() {
        let followed = context.settings.networks.iter();
        let ids: Vec<_> = followed.map(|followed| followed.network.id.as_str()).collect();
        let known = context.settings.registry.network(name);
        let detail = match (known, nearest(name, ids.iter().copied())) {
            (Some(_), _) => "is not followed; it takes a section [networks.<id>] in the \
                             configuration"
                .to_owned(),
            (None, Some(near)) => format!("is not known; did you mean `{near}`?"),
            (None, None) => format!("is not known; followed is {}", list_of(ids)),
        };
        errors.add(&field.pointer, detail);
    }
    followed.map(|followed| (followed.network.id.as_str().into(), followed))
}

pub(super) fn read_confirmations(field: &Field<'_>, errors: &mut Errors) -> Option<Confirmations> {
    let number = field.value.as_u64().and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| (1..=MAX_CONFIRMATIONS).contains(number));
    if number.is_none() {
        errors
            .add(&field.pointer, format!("expected a whole number from 1 to {MAX_CONFIRMATIONS}"));
    }
    number.map(Confirmations)
}

pub(super) fn read_endpoints(
    field: &Field<'_>,
    context: &Context,
    errors: &mut Errors,
) -> Option<Vec<String>> {
    let items = field.array(errors)?;
    if items.len() > MAX_ENDPOINTS {
        errors.add(&field.pointer, format!("expected at most {MAX_ENDPOINTS} endpoints"));
        return None;
    }
    let mut names = Vec::new();
    for item in &items {
        let Some(name) = item.string(errors) else { continue };
        if !context.settings.config.endpoints.contains_key(name) {
            let names = context.settings.config.endpoints.keys();
            let near = nearest(name, names.map(String::as_str));
            errors.add(
                &item.pointer,
                match near {
                    Some(near) => format!("no endpoint has this name; did you mean `{near}`?"),
                    None => "no endpoint has this name; GET /v1/endpoints lists them".to_owned(),
                },
            );
        } else if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Some(names)
}
