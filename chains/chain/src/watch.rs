//! The in-memory index of what a network's decoders look for.

use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use alloy_primitives::map::HashSet;

/// What a decoder looks up, in up to 36 raw bytes: an address (EVM), a scriptPubKey or an outpoint
/// (Bitcoin). A family's kinds of keys differ in length, so that none is taken for another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchKey {
    length: u8,
    bytes: [u8; Self::MAX],
}

impl WatchKey {
    /// The longest key: an outpoint, which is a transaction's 32 bytes and an index of four.
    pub const MAX: usize = 36;

    /// A key of up to [`Self::MAX`] bytes; none where there are more.
    #[must_use]
    pub fn new(raw: &[u8]) -> Option<Self> {
        let length = u8::try_from(raw.len()).ok()?;
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..raw.len())?.copy_from_slice(raw);
        Some(Self { length, bytes })
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// An EVM address.
impl From<[u8; 20]> for WatchKey {
    fn from(address: [u8; 20]) -> Self {
        let mut bytes = [0; Self::MAX];
        bytes[..20].copy_from_slice(&address);
        Self { length: 20, bytes }
    }
}

impl fmt::Debug for WatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Rises with every change of a network's watches. A block is decoded with one, and what came
/// later is looked for by a backfill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchVersion(pub u64);

/// A network's watches. Decoders read it while the follower adds to it.
#[derive(Debug, Default)]
pub struct WatchSet {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    keys: HashSet<WatchKey>,
    version: WatchVersion,
    wants_references: bool,
}

impl WatchSet {
    /// A set of these keys at this version.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = WatchKey>, version: WatchVersion) -> Self {
        let keys = keys.into_iter().collect();
        Self { inner: RwLock::new(Inner { keys, version, wants_references: false }) }
    }

    /// Says whether any of the watches needs memos or references to be read.
    pub fn want_references(&self, wanted: bool) {
        self.inner.write().unwrap_or_else(PoisonError::into_inner).wants_references = wanted;
    }

    /// Looks at the set as it stands. Held while one block is decoded; never across an await.
    #[must_use]
    pub fn view(&self) -> WatchView<'_> {
        // A panic elsewhere cannot leave a set of plain keys half changed.
        WatchView(self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds keys and raises the version, in one step.
    pub fn add(&self, keys: impl IntoIterator<Item = WatchKey>, version: WatchVersion) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.keys.extend(keys);
        inner.version = inner.version.max(version);
    }

    /// Removes keys whose watching has ended. The version stays: no block misses anything by it.
    pub fn remove<'k>(&self, keys: impl IntoIterator<Item = &'k WatchKey>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            inner.keys.remove(key);
        }
    }
}

/// A [`WatchSet`] as it stood when it was looked at.
#[derive(Debug)]
pub struct WatchView<'a>(RwLockReadGuard<'a, Inner>);

impl WatchView<'_> {
    /// Whether anybody waits for this key.
    #[must_use]
    pub fn contains(&self, key: &WatchKey) -> bool {
        self.0.keys.contains(key)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.keys.len()
    }

    /// Whether nobody waits for anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.keys.is_empty()
    }

    /// The keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &WatchKey> {
        self.0.keys.iter()
    }

    /// Whether anybody waits for a memo or a reference. Where nobody does, a family may spare
    /// itself reading them.
    #[must_use]
    pub fn wants_references(&self) -> bool {
        self.0.wants_references
    }

    /// The version that stands.
    #[must_use]
    pub fn version(&self) -> WatchVersion {
        self.0.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: &[u8]) -> WatchKey {
        WatchKey::new(bytes).expect("short enough")
    }

    #[test]
    fn keys_of_different_lengths_differ() {
        assert_ne!(key(&[1]), key(&[1, 0]));
        assert_eq!(key(&[1, 2]).as_bytes(), [1, 2]);
        assert_eq!(WatchKey::new(&[0; 37]), None);
        assert_eq!(WatchKey::from([7; 20]), key(&[7; 20]));
    }

    #[test]
    fn a_view_sees_keys_and_version_together() {
        let set = WatchSet::new([key(&[1])], WatchVersion(4));
        set.add([key(&[2])], WatchVersion(5));
        let view = set.view();
        assert!(view.contains(&key(&[1])) && view.contains(&key(&[2])));
        assert_eq!(view.version(), WatchVersion(5));
        drop(view);
        set.remove(&[key(&[1])]);
        assert!(!set.view().contains(&key(&[1])));
    }
}
