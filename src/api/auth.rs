//! API keys: who calls, for which account, and what the key may do.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::{header, request::Parts};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::context::{Context, Live};
use super::input::Parameters;
use super::problem::Problem;
use crate::config::{ApiKey, KeyDigest, Scope};
use crate::settlement::IntentKey;
use crate::store::{Actor, Store};

/// The key that calls.
#[derive(Clone, Debug)]
pub(super) struct Caller(ApiKey);

/// A caller that may look.
#[derive(Clone, Debug)]
pub(super) struct Reader(pub(super) Caller);

/// A caller that may change what its account has.
#[derive(Clone, Debug)]
pub(super) struct Writer(pub(super) Caller);

/// A caller that may change what all accounts share.
#[derive(Clone, Debug)]
pub(super) struct Admin(pub(super) Caller);

impl FromRequestParts<Live> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, live: &Live) -> Result<Self, Problem> {
        let context = Context::from_ref(live);
        let header = parts
            .headers
            .get(header::AUTHORIZATION)
            .ok_or(Problem::Unauthorized("expected a header `Authorization: Bearer <key>`"))?;
        let key = header.to_str().ok().and_then(bearer).ok_or(Problem::Unauthorized(
            "expected the header `Authorization` to hold `Bearer <key>`",
        ))?;
        let found = find(context.keys(), &KeyDigest::of(key));
        found.cloned().map(Self).ok_or(Problem::Unauthorized("the key is not known"))
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
}

/// Looks at every key, so that the time tells nothing of which one agrees how far.
fn find<'k>(keys: &'k [ApiKey], digest: &KeyDigest) -> Option<&'k ApiKey> {
    let mut found = u64::MAX;
    for (index, key) in (0_u64..).zip(keys) {
        let same = key.digest.as_bytes().ct_eq(digest.as_bytes());
        found.conditional_assign(&index, same);
    }
    keys.get(usize::try_from(found).ok()?)
}

macro_rules! scoped {
    ($name:ident, $scope:ident) => {
        impl FromRequestParts<Live> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, live: &Live) -> Result<Self, Problem> {
                let caller = Caller::from_request_parts(parts, live).await?;
                caller.require(Scope::$scope)?;
                Ok(Self(caller))
            }
        }
    };
}

scoped!(Reader, Read);
scoped!(Writer, Write);
scoped!(Admin, Admin);

impl Caller {
    fn has(&self, scope: Scope) -> bool {
        self.0.scopes.contains(&scope)
    }

    fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.has(scope) { Ok(()) } else { Err(Problem::Forbidden(scope)) }
    }

    /// The key's name in the configuration.
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// How many intents the key may have open.
    pub(super) fn max_open_intents(&self) -> u64 {
        u64::from(self.0.max_open_intents)
    }

    /// The caller in an intent's history, or the person that it names.
    pub(super) fn actor(&self, person: Option<String>) -> Actor {
        match person {
            Some(name) => Actor { kind: "person".to_owned(), name },
            None => Actor { kind: "key".to_owned(), name: self.0.name.clone() },
        }
    }

    /// The account that `?account=` names, which only an admin may choose; else the key's own.
    pub(super) fn account(&self, parameters: &mut Parameters) -> Result<String, Problem> {
        Ok(self.named_account(parameters)?.unwrap_or_else(|| self.0.account.clone()))
    }

    /// The account whose things are listed: an admin who names none sees every one's.
    pub(super) fn listed_account(
        &self,
        parameters: &mut Parameters,
    ) -> Result<Option<String>, Problem> {
        let named = self.named_account(parameters)?;
        let own = || Some(self.0.account.clone()).filter(|_| !self.has(Scope::Admin));
        Ok(named.or_else(own))
    }

    fn named_account(&self, parameters: &mut Parameters) -> Result<Option<String>, Problem> {
        let named = parameters.text("account");
        if named.as_ref().is_some_and(|named| *named != self.0.account) {
            self.require(Scope::Admin)?;
        }
        Ok(named)
    }

    /// The intent of this id: the key's account's, or for an admin that of the only account that
    /// has one. Whether it exists is for the caller to find out.
    pub(super) async fn intent_key(
        &self,
        id: &str,
        parameters: &mut Parameters,
        store: &Store,
    ) -> Result<IntentKey, Problem> {
        let key = |account| IntentKey { account, id: id.to_owned() };
        if let Some(account) = self.listed_account(parameters)? {
            return Ok(key(account));
        }
        let accounts = store.accounts_with(id).await?;
        match <[String; 1]>::try_from(accounts) {
            Ok([account]) => Ok(key(account)),
            Err(none) if none.is_empty() => Err(Problem::NotFound("intent")),
            Err(_) => {
                Err(Problem::invalid("?account", "several accounts have such an intent; name one"))
            }
        }
    }
}
