//! What differs between two readings of the registry and of the networks to follow.

use std::collections::BTreeSet;

use super::Settings;
use crate::registry::{AssetInfo, Network};

/// What a reload changes, by the ids of the networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Networks that were not there before.
    pub added: Vec<NetworkChange>,
    /// Networks that are there in another way: other facts, assets, providers or settings.
    pub changed: Vec<NetworkChange>,
    /// Networks that are not there any more.
    pub removed: Vec<NetworkChange>,
}

/// What a reload changes of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkChange {
    /// Its id.
    pub network: String,
    /// Whether it is followed afterwards.
    pub followed: bool,
    /// Symbols of assets that were not there before.
    pub assets_added: Vec<String>,
    /// Symbols of assets whose facts differ.
    pub assets_changed: Vec<String>,
    /// Symbols of assets that are not there any more.
    pub assets_removed: Vec<String>,
}

impl Changes {
    /// What differs in `after`.
    #[must_use]
    pub fn between(before: &Settings, after: &Settings) -> Self {
        let ids = |of: &Settings| -> BTreeSet<String> {
            of.registry.networks().map(|network| network.id.clone()).collect()
        };
        let mut changes = Self::default();
        for id in &ids(before) | &ids(after) {
            let (old, new) = (known(before, &id), known(after, &id));
            let same = match (before.followed(&id), after.followed(&id)) {
                (Some(old), Some(new)) => old.is_same_as(new),
                (None, None) => old.zip(new).is_some_and(|(old, new)| old.is_same_as(new)),
                _ => false,
            };
            let list = match (old, new) {
                _ if same => continue,
                (None, _) => &mut changes.added,
                (_, None) => &mut changes.removed,
                (Some(_), Some(_)) => &mut changes.changed,
            };
            let followed = after.followed(&id).is_some();
            list.push(change(id, followed, assets(old), assets(new)));
        }
        changes
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn known<'s>(settings: &'s Settings, id: &str) -> Option<&'s Network> {
    settings.registry.networks().find(|network| network.id == id).map(AsRef::as_ref)
}

fn assets(network: Option<&Network>) -> &[AssetInfo] {
    network.map_or(&[], |network| &network.assets)
}

fn change(
    network: String,
    followed: bool,
    before: &[AssetInfo],
    after: &[AssetInfo],
) -> NetworkChange {
    let same = |info: &AssetInfo, others: &[AssetInfo]| {
        others.iter().find(|other| other.asset == info.asset).cloned()
    };
    let symbols = |infos: &[AssetInfo], which: &dyn Fn(&AssetInfo) -> bool| {
        infos.iter().filter(|info| which(info)).map(|info| info.symbol.clone()).collect()
    };
    NetworkChange {
        network,
        followed,
        assets_added: symbols(after, &|info| same(info, before).is_none()),
        assets_changed: symbols(after, &|info| same(info, before).is_some_and(|old| old != *info)),
        assets_removed: symbols(before, &|info| same(info, after).is_none()),
    }
}
