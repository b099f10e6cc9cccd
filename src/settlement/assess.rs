//! What the facts amount to now.

use std::collections::BTreeMap;

use confirmd_chain::{Amount, Confirmations, Height};

use super::credit::{Credit, OrphanReason, Role, deep_at};
use super::ids::NetworkId;
use super::intent::{Closed, Intent, Rank, Status};
use super::rail::AmountPolicy;

/// What an intent and its transfers amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// Where the intent stands.
    pub status: Status,
    /// How far the money goes, whatever the clock says.
    pub rank: Rank,
    /// The rail that settles it, or that got furthest.
    pub rail: usize,
    /// What arrived for each rail and counts: nothing where another rail settles the intent.
    pub received: Vec<Amount>,
    /// Each transfer's part, in the order of the transfers.
    pub roles: Vec<Role>,
    /// The transfer that made the amount complete, by its place in the list.
    pub completed_by: Option<usize>,
    /// The height at which the completing transfer is deep enough.
    pub confirmed_height: Option<Height>,
    /// How deep the payment is, capped by what its rail requires (I6).
    pub confirmations: Confirmations,
}

/// How far one rail got.
#[derive(Default)]
struct Tally {
    /// Transfers that pay it, in chain order.
    pays: Vec<usize>,
    received: Amount,
    /// The transfer that made it complete.
    completed_by: Option<usize>,
    /// Transfers that made a total which an exact rail does not take.
    wrong: Vec<usize>,
    /// Transfers after an exact rail was complete.
    surplus: Vec<usize>,
}

/// Judges the transfers that stand at or below their network's cursor.
///
/// The intent's own memory is used for two things only: commands (`closed`), and that a
/// confirmation, once reached, is not lost when a threshold is raised.
#[must_use]
pub fn assess(
    intent: &Intent,
    credits: &[Credit],
    cursors: &BTreeMap<NetworkId, Height>,
) -> Assessment {
    let mut roles = vec![Role::Gone; credits.len()];
    let mut candidates = vec![Vec::new(); intent.rails.len()];
    for (index, credit) in in_chain_order(credits, cursors) {
        roles[index] = match candidate(intent, credit) {
            Err(reason) => Role::Orphan(reason),
            Ok(rail) => {
                candidates[rail].push(index);
                Role::Pays(rail)
            }
        };
    }
    let tally = |(rail, candidates): (usize, &Vec<usize>)| tally(intent, rail, candidates, credits);
    let mut tallies: Vec<Tally> = candidates.iter().enumerate().map(tally).collect();
    let settled = settling_rail(intent, credits, cursors, &tallies);
    if let Some((settling, completing)) = settled {
        for rail in (0..tallies.len()).filter(|rail| *rail != settling) {
            mark(&mut roles, &candidates[rail], OrphanReason::OtherRail);
            tallies[rail] = outrun(intent, rail, &candidates[rail], credits, completing);
        }
    }
    for tally in &tallies {
        mark(&mut roles, &tally.wrong, OrphanReason::WrongAmount);
        mark(&mut roles, &tally.surplus, OrphanReason::Surplus);
    }
    let mut assessment = conclude(intent, credits, cursors, settled, tallies, roles);
    mark_seen(intent, credits, cursors, &mut assessment);
    assessment
}

/// The rail that a transfer counts for, or why it counts for none.
fn candidate(intent: &Intent, credit: &Credit) -> Result<usize, OrphanReason> {
    let dismissed = credit.dismissed();
    let stray = || dismissed.unwrap_or_else(|| intent.stray(credit));
    let rail = intent.rail_for(credit).ok_or_else(stray)?;
    // A part of a wrong total stays one: without it the others would make another total.
    let is_wrong_part = intent.rails[rail].policy == AmountPolicy::Exact
        && dismissed == Some(OrphanReason::WrongAmount);
    match (dismissed, intent.state.closed) {
        _ if is_wrong_part || credit.is_attached() => Ok(rail),
        (Some(was), _) => Err(was),
        (_, Some(Closed::Cancelled(_))) => Err(OrphanReason::Cancelled),
        _ if credit.credit_time > intent.expires_at => Err(OrphanReason::Late),
        _ => Ok(rail),
    }
}

/// What is left of a rail when another one is complete first: only a total that was wrong by then.
/// Whatever comes from then on has one meaning, which more transfers never change.
fn outrun(
    intent: &Intent,
    rail: usize,
    candidates: &[usize],
    credits: &[Credit],
    completing: usize,
) -> Tally {
    let mut before = candidates.to_vec();
    before.retain(|&index| is_before(&credits[index], &credits[completing]));
    Tally { wrong: tally(intent, rail, &before, credits).wrong, ..Tally::default() }
}

/// Whether a transfer came before another: by the chain, or, since several networks have no common
/// order but time, by its time.
fn is_before(one: &Credit, other: &Credit) -> bool {
    if one.network == other.network {
        chain_order(one) < chain_order(other)
    } else {
        one.credit_time < other.credit_time
    }
}

fn chain_order(credit: &Credit) -> Option<(Height, u32)> {
    credit.place.as_ref().map(|place| (place.height, place.position))
}

fn tally(intent: &Intent, rail: usize, candidates: &[usize], credits: &[Credit]) -> Tally {
    let rail = &intent.rails[rail];
    match rail.policy {
        AmountPolicy::AtLeast => {
            tally_at_least(intent.tolerance.needed(rail.amount), candidates, credits)
        }
        AmountPolicy::Exact => tally_exact(rail.amount, candidates, credits),
    }
}

/// The transfers on the chain so far, as a scan meets them.
fn in_chain_order<'a>(
    credits: &'a [Credit],
    cursors: &BTreeMap<NetworkId, Height>,
) -> Vec<(usize, &'a Credit)> {
    let stands = |credit: &Credit| {
        let height = credit.place.as_ref().map(|place| place.height);
        height.is_some() && height <= cursors.get(&credit.network).copied()
    };
    let mut ordered: Vec<_> =
        credits.iter().enumerate().filter(|(_, credit)| stands(credit)).collect();
    ordered.sort_by_key(|(_, credit)| (&credit.network, chain_order(credit)));
    ordered
}

fn tally_at_least(needed: Amount, candidates: &[usize], credits: &[Credit]) -> Tally {
    let mut tally = Tally::default();
    for &index in candidates {
        tally.received = tally.received.saturating_add(credits[index].amount);
        if tally.completed_by.is_none() && tally.received >= needed {
            tally.completed_by = Some(index);
        }
        tally.pays.push(index);
    }
    tally
}

/// An exact rail is complete when a run of transfers makes its amount. A run that makes more can
/// never be right again: it is set aside, and the next transfer starts anew. So is one that is
/// right only with a transfer that was dismissed.
fn tally_exact(amount: Amount, candidates: &[usize], credits: &[Credit]) -> Tally {
    let mut tally = Tally::default();
    for &index in candidates {
        if tally.completed_by.is_some() {
            tally.surplus.push(index);
            continue;
        }
        tally.pays.push(index);
        tally.received = tally.received.saturating_add(credits[index].amount);
        if tally.received < amount {
            continue;
        }
        let is_whole = tally.pays.iter().all(|&index| credits[index].dismissed().is_none());
        if tally.received == amount && is_whole {
            tally.completed_by = Some(index);
        } else {
            tally.wrong.append(&mut tally.pays);
            tally.received = Amount::ZERO;
        }
    }
    let dismissed = tally.pays.extract_if(.., |index| credits[*index].dismissed().is_some());
    tally.wrong.extend(dismissed);
    tally.received = tally.pays.iter().map(|&index| credits[index].amount).sum();
    tally
}

fn mark(roles: &mut [Role], transfers: &[usize], reason: OrphanReason) {
    for &index in transfers {
        roles[index] = Role::Orphan(reason);
    }
}

/// Finds the transfers that would pay a rail once they are mined.
fn mark_seen(
    intent: &Intent,
    credits: &[Credit],
    cursors: &BTreeMap<NetworkId, Height>,
    now: &mut Assessment,
) {
    let takes = |rail: usize| match now.completed_by {
        None => true,
        // What comes once it is complete counts as well, until it is confirmed.
        Some(_) => {
            now.rail == rail
                && now.rank < Rank::Confirmed
                && intent.rails[rail].policy == AmountPolicy::AtLeast
        }
    };
    let waiting = (0..credits.len()).filter(|&index| {
        let credit = &credits[index];
        credit.waits_at(cursors.get(&credit.network).copied())
    });
    let seen: Vec<_> = waiting
        .filter_map(|index| Some((index, candidate(intent, &credits[index]).ok()?)))
        .filter(|(_, rail)| takes(*rail))
        .collect();
    for (index, rail) in seen {
        now.roles[index] = Role::Seen(rail);
    }
}

fn conclude(
    intent: &Intent,
    credits: &[Credit],
    cursors: &BTreeMap<NetworkId, Height>,
    settled: Option<(usize, usize)>,
    mut tallies: Vec<Tally>,
    mut roles: Vec<Role>,
) -> Assessment {
    let rail = settled.map_or_else(|| furthest_rail(intent, &tallies), |(rail, _)| rail);
    let height_of = |index: usize| credits[index].place.as_ref().map(|place| place.height);
    let required = intent.required_by(rail);
    let cursor = cursors.get(&intent.rails[rail].network).copied().unwrap_or(Height(0));
    let depth = |height| Confirmations::count(height, cursor, required);

    let completed_by = settled.map(|(_, transfer)| transfer);
    let completed = completed_by.and_then(height_of);
    let confirmed_height =
        completed_by.and_then(|last| confirmed_height(&tallies[rail], last, credits, required));
    let (rank, confirmations) = match (completed, confirmed_height) {
        (Some(_), Some(deep)) if cursor >= deep => (Rank::Confirmed, required),
        // What cannot be spent yet is not final, however many blocks are on it (I6).
        (Some(height), _) => (Rank::Detected, depth(height).min(one_short(required))),
        (None, _) => match tallies[rail].pays.iter().filter_map(|&i| height_of(i)).max() {
            Some(newest) => (Rank::Partial, depth(newest)),
            None => (Rank::Nothing, Confirmations(0)),
        },
    };
    if settled.is_none() && intent.state.closed.is_some() {
        tallies.iter().for_each(|tally| mark(&mut roles, &tally.pays, OrphanReason::Underpaid));
    }
    if let (Rank::Confirmed, Some(deep)) = (rank, confirmed_height) {
        let tally = &mut tallies[rail];
        let (counted, surplus): (Vec<usize>, Vec<usize>) =
            tally.pays.iter().partition(|&&index| height_of(index) <= Some(deep));
        mark(&mut roles, &surplus, OrphanReason::Surplus);
        tally.received = counted.iter().map(|&index| credits[index].amount).sum();
    }
    Assessment {
        status: status(rank, intent.state.closed),
        rank,
        rail,
        received: tallies.iter().map(|tally| tally.received).collect(),
        roles,
        completed_by,
        confirmed_height,
        confirmations,
    }
}

/// The height of the cursor at which every transfer up to the completing one is deep enough, and
/// can be spent.
fn confirmed_height(
    tally: &Tally,
    completing: usize,
    credits: &[Credit],
    required: Confirmations,
) -> Option<Height> {
    let end = tally.pays.iter().position(|&index| index == completing)?;
    let deep = |&index: &usize| {
        let credit = &credits[index];
        let place = credit.place.as_ref()?;
        Some(deep_at(place.height, required.max(credit.maturity)))
    };
    tally.pays[..=end].iter().filter_map(deep).max()
}

fn one_short(required: Confirmations) -> Confirmations {
    Confirmations(required.0.saturating_sub(1))
}

fn status(rank: Rank, closed: Option<Closed>) -> Status {
    match (rank, closed) {
        (Rank::Confirmed, _) => Status::Confirmed,
        (Rank::Detected, _) => Status::Confirming,
        (_, Some(Closed::Expired(_))) => Status::Expired,
        (_, Some(Closed::Cancelled(_))) => Status::Cancelled,
        (Rank::Partial, None) => Status::Partial,
        (Rank::Nothing, None) => Status::Pending,
    }
}

/// The rail that settles the intent, and its completing transfer: the one that confirmed it, else
/// the first to be complete. On one network that is the first in the chain, so that more blocks
/// never change it; between networks time decides.
fn settling_rail(
    intent: &Intent,
    credits: &[Credit],
    cursors: &BTreeMap<NetworkId, Height>,
    tallies: &[Tally],
) -> Option<(usize, usize)> {
    let complete = |rail: usize| tallies[rail].completed_by.map(|transfer| (rail, transfer));
    if let Some(confirmed) = &intent.state.confirmed
        && cursors.get(&intent.rails[confirmed.rail].network) >= Some(&confirmed.height)
        && let Some(settled) = complete(confirmed.rail)
    {
        return Some(settled);
    }
    let mut firsts: BTreeMap<&NetworkId, (usize, usize)> = BTreeMap::new();
    for (rail, transfer) in (0..tallies.len()).filter_map(complete) {
        let first = firsts.entry(&credits[transfer].network).or_insert((rail, transfer));
        if is_before(&credits[transfer], &credits[first.1]) {
            *first = (rail, transfer);
        }
    }
    firsts.into_values().min_by_key(|&(rail, transfer)| (credits[transfer].credit_time, rail))
}

/// The rail of which the greatest share was paid; of equals the first that stands.
fn furthest_rail(intent: &Intent, tallies: &[Tally]) -> usize {
    let mut best = intent.current_rails().next().map_or(0, |(first, _)| first);
    for rail in 0..tallies.len() {
        // received / amount, compared without dividing.
        let share = |of: usize, by: usize| {
            tallies[of]
                .received
                .base_units()
                .widening_mul::<256, 4, 512, 8>(intent.rails[by].amount.base_units())
        };
        if share(rail, best) > share(best, rail) {
            best = rail;
        }
    }
    best
}
