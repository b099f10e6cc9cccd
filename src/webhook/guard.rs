//! The names of endpoints lead to public addresses (F18).
//!
//! The connection is made to the addresses that were checked: nothing resolves twice.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::config::is_public;

/// A name leads to no public address.
#[derive(Debug, thiserror::Error)]
#[error("refused: the host name leads to no public address")]
struct NoPublicAddress;

/// Resolves names to public addresses only.
pub(super) struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is the URL's; the connector sets it.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|a| is_public(a.ip())).collect();
            if public.is_empty() {
                return Err(NoPublicAddress.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_refused_when_it_is_resolved_f18() {
        let name = "localhost".parse().expect("a name");
        let refused = PublicResolver.resolve(name).await.err().expect("refused");
        assert!(refused.is::<NoPublicAddress>(), "{refused}");
    }
}
