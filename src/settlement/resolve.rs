//! What an admin decides about an orphan: it is given to an intent after all, or it was dealt with
//! elsewhere.

use std::collections::BTreeMap;

use confirmd_chain::{Height, Timestamp};

use super::assess::assess;
use super::credit::{Credit, Decision, OrphanReason, Resolution, Role};
use super::ids::{EventId, NetworkId};
use super::intent::{Intent, Status};
use super::kinds::EventKind;
use super::settler::{Outcome, Settler};
use super::step::Moment;
use super::view::OrphanView;

/// An intent with its transfers.
pub type Held = (Intent, Vec<Credit>);

/// What an admin asks for.
#[derive(Clone, Debug)]
pub struct Resolve<'a> {
    /// The orphan's place among the transfers of the intent that has it.
    pub orphan: usize,
    /// What is to become of it.
    pub decision: Decision,
    /// Who asks.
    pub actor: &'a str,
    /// Why.
    pub reason: &'a str,
    /// How far each network is followed.
    pub cursors: &'a BTreeMap<NetworkId, Height>,
    /// The wall time.
    pub now: Timestamp,
}

/// Why an orphan stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// It pays its intent, or a reorg took it.
    #[error("it pays its intent, or the chain took it back, so it is no orphan")]
    NoOrphan,
    /// It was attached or dismissed before.
    #[error("it was {} before", .0.as_str())]
    Resolved(Decision),
    /// It would be an orphan of the intent as well.
    #[error("the intent would not take it: {}", would_be(*.0))]
    WouldNotPay(OrphanReason),
    /// Others mean what they do only with it, or without it.
    #[error("it would change what other transfers are to their intents")]
    Entangled,
}

const fn would_be(reason: OrphanReason) -> &'static str {
    match reason {
        OrphanReason::Surplus => "its amount is complete",
        OrphanReason::OtherRail => "another rail settles it",
        OrphanReason::Underpaid => "it is over, and this is not enough",
        OrphanReason::WrongAmount => "its rail takes one exact amount, which this does not make",
        OrphanReason::WrongAsset | OrphanReason::Ambiguous => {
            "none of its rails takes this asset on this network"
        }
        OrphanReason::Late | OrphanReason::Cancelled => "it is over",
    }
}

/// Gives an orphan to an intent, or dismisses it. May be repeated: the second time nothing
/// happens. No other transfer loses what it is by it, save that orphans may pay together with it.
///
/// `to` is the intent that it is attached to, where that is another than the one that has it.
/// Answers what became of the one that has it, and then of the other.
///
/// # Errors
/// Says why it stays as it is.
pub fn resolve(
    (intent, mut credits): Held,
    to: Option<Held>,
    ask: &Resolve<'_>,
) -> Result<Vec<Outcome>, ResolveError> {
    let orphan = credits.get(ask.orphan).ok_or(ResolveError::NoOrphan)?;
    let is_orphan = matches!(orphan.role, Role::Orphan(_)) && orphan.dismissed().is_none();
    match &orphan.resolution {
        Some(made) if made.decision == ask.decision && !is_orphan => return Ok(Vec::new()),
        Some(made) if !is_orphan => return Err(ResolveError::Resolved(made.decision.clone())),
        _ => {}
    }
    let Role::Orphan(was) = orphan.role else { return Err(ResolveError::NoOrphan) };
    let (resolved, told) = resolved(orphan, was, &intent, ask);
    let Some((other, mut others)) = to else {
        let before = roles(&intent, &credits, ask);
        credits[ask.orphan] = resolved.clone();
        if ask.decision != Decision::Dismissed {
            check_pays(&intent, &credits, ask.orphan, &before, ask)?;
        } else if roles(&intent, &credits, ask) != before {
            return Err(ResolveError::Entangled);
        }
        let mut settler = Settler::new(intent, credits, ask.now);
        tell(&mut settler, &resolved, told, ask);
        settler.settle_at(&ask.moment());
        return Ok(vec![settler.finish()]);
    };
    let mut without = roles(&intent, &credits, ask);
    without.remove(ask.orphan);
    credits.remove(ask.orphan);
    if roles(&intent, &credits, ask) != without {
        return Err(ResolveError::Entangled);
    }
    let before = roles(&other, &others, ask);
    others.push(resolved.clone());
    check_pays(&other, &others, others.len() - 1, &before, ask)?;
    let mut loses = Settler::new(intent, credits, ask.now);
    tell(&mut loses, &resolved, told, ask);
    let mut gains = Settler::new(other, others, ask.now);
    gains.settle_at(&ask.moment());
    Ok(vec![loses.finish(), gains.finish()])
}

impl Resolve<'_> {
    fn moment(&self) -> Moment {
        Moment { cursors: self.cursors.clone(), time: self.now }
    }
}

fn roles(intent: &Intent, credits: &[Credit], ask: &Resolve<'_>) -> Vec<Role> {
    assess(intent, credits, ask.cursors).roles
}

/// The orphan as it is from now on, and the event that reported it.
fn resolved(
    orphan: &Credit,
    was: OrphanReason,
    intent: &Intent,
    ask: &Resolve<'_>,
) -> (Credit, Option<EventId>) {
    let mut credit = orphan.clone();
    credit.is_ambiguous &= ask.decision == Decision::Dismissed;
    credit.orphan.sequence += 1;
    let told = credit.orphan.reported.take().map(|told| told.event);
    let first = orphan.resolution.as_ref().map_or(&intent.key.id, |made| &made.from);
    credit.resolution = Some(Resolution {
        decision: ask.decision.clone(),
        was,
        from: first.clone(),
        actor: ask.actor.to_owned(),
        reason: ask.reason.to_owned(),
        at: ask.now,
    });
    (credit, told)
}

/// Makes sure that a transfer pays the intent, and that those which paid it before do still.
fn check_pays(
    intent: &Intent,
    credits: &[Credit],
    attached: usize,
    before: &[Role],
    ask: &Resolve<'_>,
) -> Result<(), ResolveError> {
    if intent.state.status == Status::Confirmed {
        return Err(ResolveError::WouldNotPay(OrphanReason::Surplus));
    }
    let after = roles(intent, credits, ask);
    match after[attached] {
        Role::Pays(_) => {}
        Role::Orphan(reason) => return Err(ResolveError::WouldNotPay(reason)),
        Role::Seen(_) | Role::Gone => return Err(ResolveError::NoOrphan),
    }
    let kept =
        |(before, after): (&Role, &Role)| !matches!(before, Role::Pays(_)) || before == after;
    if std::iter::zip(before, &after).all(kept) { Ok(()) } else { Err(ResolveError::Entangled) }
}

/// Whoever was told of the orphan is told what became of it. An attached one takes that back.
fn tell(settler: &mut Settler, resolved: &Credit, told: Option<EventId>, ask: &Resolve<'_>) {
    let Some(resolution) = &resolved.resolution else { return };
    let orphan = OrphanView::of(&settler.intent.key, resolved, resolution.was);
    let sequence = resolved.orphan.sequence;
    let event = settler.emit_of(orphan, sequence, EventKind::OrphanResolved, &ask.moment());
    let is_none = ask.decision != Decision::Dismissed;
    event.data.retracts.extend(told.filter(|_| is_none));
}
