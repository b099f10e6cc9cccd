//! Lists: pages of `{ data, next_cursor }`, and `total` where it is asked for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use confirmd_chain::Timestamp;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::input::{Parameters, is_plain};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// The page's items.
    pub(super) data: Vec<T>,
    /// Give it as `cursor` for the next page; null on the last one.
    pub(super) next_cursor: Option<String>,
    /// How many items all pages have together, where `count=true` was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) total: Option<u64>,
}

/// Which page is asked for.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// How many items, at most.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
    limit: u32,
    /// The `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
    /// Whether to give the `total`.
    #[param(value_type = Option<bool>, default = false)]
    pub(super) count: bool,
}

impl Paging {
    pub(super) fn read(parameters: &mut Parameters) -> Self {
        let limit = parameters.parsed("limit", "a number from 1 to 200", |text| {
            text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit))
        });
        let cursor = parameters.parsed("cursor", "the `next_cursor` of a page", |text| {
            let cursor = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
            is_plain(&cursor).then_some(cursor)
        });
        let count = parameters.parsed("count", "`true` or `false`", |text| text.parse().ok());
        Self { limit: limit.unwrap_or(DEFAULT_LIMIT), cursor, count: count.unwrap_or(false) }
    }

    /// The cursor as `(time, id)`, as lists that are sorted by time have it.
    pub(super) fn after(&self, parameters: &mut Parameters) -> Option<(Timestamp, String)> {
        let cursor = self.cursor.as_deref()?;
        let read = || {
            let (time, id) = cursor.split_once(':')?;
            Some((Timestamp(time.parse().ok()?), id.to_owned()))
        };
        self.checked(read(), parameters)
    }

    /// The cursor as a number, as lists that are sorted by position have it.
    pub(super) fn position(&self, parameters: &mut Parameters) -> Option<i64> {
        let cursor = self.cursor.as_deref()?;
        self.checked(cursor.parse().ok(), parameters)
    }

    fn checked<T>(&self, read: Option<T>, parameters: &mut Parameters) -> Option<T> {
        if read.is_none() {
            parameters.errors.add("?cursor", "expected the `next_cursor` of a page of this list");
        }
        read
    }

    /// One more than the page holds: whether there is another page is known by it.
    pub(super) const fn fetch(&self) -> u32 {
        self.limit + 1
    }

    /// The page of what [`Self::fetch`] brought; `cursor` names an item's place in the list.
    pub(super) fn page<T, U>(
        &self,
        mut items: Vec<T>,
        total: Option<u64>,
        cursor: impl Fn(&T) -> String,
        show: impl FnMut(T) -> U,
    ) -> Page<U> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(cursor);
        Page {
            next_cursor: next_cursor.map(|cursor| URL_SAFE_NO_PAD.encode(cursor)),
            data: items.into_iter().map(show).collect(),
            total,
        }
    }

    /// The page of a list that is at hand as a whole, sorted by name.
    pub(super) fn of_all<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        name: impl Fn(&T) -> &String,
    ) -> Page<T> {
        let mut items: Vec<T> = items.into_iter().collect();
        items.sort_by(|one, other| name(one).cmp(name(other)));
        let total = u64::try_from(items.len()).ok().filter(|_| self.count);
        items.retain(|item| self.cursor.as_ref().is_none_or(|after| name(item) > after));
        self.page(items, total, |item| name(item).clone(), |item| item)
    }
}

/// The cursor of lists that are sorted by time.
pub(super) fn time_cursor(time: Timestamp, id: &str) -> String {
    format!("{}:{id}", time.0)
}
