//! Whose branch counts, where providers show different ones.
//!
//! A provider that shows another branch than ours may be the first to see a reorganisation, or it
//! may lie. So before ours is left, everybody is asked who keeps to it. Where as many do as do not,
//! ours stands: those who go on naming another one are put aside, and the others are followed. It
//! is left when more providers have left it than keep to it.

use confirmd_chain::{BlockHash, Chain, Height, Timestamp, Witness};
use tracing::warn;

/// How long those who keep to ours get to see what the others see, before the others are put aside.
const GRACE_MS: i64 = 2_000;
/// So much behind the others (or the clock, whatever is less), a provider's newest block shows that
/// it stands still. It keeps to ours because it knows nothing newer.
const STILL_AFTER_MS: i64 = 30_000;

/// A height, and the block that we have there.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) height: Height,
    pub(super) hash: BlockHash,
}

/// What follows from what the witnesses say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// Nothing speaks against the other branch. `is_agreed`: several providers are on it.
    Leave { is_agreed: bool },
    /// It is too early to say.
    Wait,
    /// Ours stands, and these providers are wrong.
    Stand { wrong: Vec<String> },
}

/// One network's dispute, if there is one.
#[derive(Debug, Default)]
pub(super) struct Dispute {
    /// The block of ours that is in question, and since when.
    began: Option<(BlockHash, Timestamp)>,
}

impl Dispute {
    /// Asks every provider which block stands where ours does and `theirs` is shown, and where our
    /// newest irreversible block is. Puts aside who is wrong.
    pub(super) async fn settle(
        &mut self,
        chain: &dyn Chain,
        ours: &Place,
        theirs: &BlockHash,
        irreversible: Option<&Place>,
        now: Timestamp,
    ) -> Ruling {
        let heights: Vec<Height> =
            [Some(ours), irreversible].into_iter().flatten().map(|place| place.height).collect();
        let witnesses = chain.witnesses(&heights).await;
        let since = match &self.began {
            Some((hash, since)) if *hash == ours.hash => *since,
            _ => now,
        };
        self.began = Some((ours.hash.clone(), since));
        let is_old = now.0 - since.0 >= GRACE_MS;
        let ruling = judge(ours, theirs, irreversible, &witnesses, now, is_old);
        if let Ruling::Stand { wrong } = &ruling {
            self.began = None;
            warn!(height = ours.height.0, ?wrong, "another branch is not followed");
            for provider in wrong {
                let words = format!("serves another branch: not {} at {}", ours.hash, ours.height);
                chain.accuse(provider, &words);
            }
        }
        ruling
    }
}

/// Decides. What is irreversible is not voted on: whoever names another block there is wrong, as
/// long as somebody names ours.
fn judge(
    ours: &Place,
    theirs: &BlockHash,
    irreversible: Option<&Place>,
    witnesses: &[Witness],
    now: Timestamp,
    is_old: bool,
) -> Ruling {
    let lost = irreversible.map_or_else(Vec::new, |place| {
        let (right, wrong) = sides(witnesses.iter(), 1, &place.hash);
        if right.is_empty() { Vec::new() } else { names(&wrong) }
    });
    let votes = || witnesses.iter().filter(|witness| !lost.contains(&witness.provider));
    let (keep, left) = sides(votes(), 0, &ours.hash);
    let newest = left.iter().map(|witness| witness.newest).max().unwrap_or(now).min(now);
    let keep = keep.iter().filter(|w| w.newest.plus_ms(STILL_AFTER_MS) >= newest).count();
    let agree = left.iter().filter(|witness| named(witness, 0) == Some(theirs)).count();
    if agree == 0 && !lost.is_empty() {
        return Ruling::Stand { wrong: lost };
    }
    if keep == 0 || agree > keep {
        return Ruling::Leave { is_agreed: agree > 1 };
    }
    if !is_old {
        return Ruling::Wait;
    }
    if left.is_empty() {
        // Who shows the branch is silent when asked for it, or names ours: then it is the one that
        // is asked first.
        let silent = votes().find(|witness| named(witness, 0).is_none());
        let shows = silent.or_else(|| votes().next());
        return Ruling::Stand { wrong: names(shows.as_slice()) };
    }
    Ruling::Stand { wrong: names(&left) }
}

/// The witnesses that name this block where they were asked for the n-th time, and those that name
/// another one there.
fn sides<'w>(
    witnesses: impl Iterator<Item = &'w Witness>,
    n: usize,
    ours: &BlockHash,
) -> (Vec<&'w Witness>, Vec<&'w Witness>) {
    let spoke = witnesses.filter(|witness| named(witness, n).is_some());
    spoke.partition(|witness| named(witness, n) == Some(ours))
}

fn named(witness: &Witness, n: usize) -> Option<&BlockHash> {
    witness.names.get(n)?.as_ref()
}

fn names(witnesses: &[&Witness]) -> Vec<String> {
    witnesses.iter().map(|witness| witness.provider.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn place(height: u64, hash: &str) -> Place {
        Place { height: Height(height), hash: BlockHash::new(hash) }
    }

    /// A witness named `provider`, whose newest block is so old, and what it names at our tip and
    /// at our newest irreversible block; `-` for nothing.
    fn witness((provider, age_ms, tip, irreversible): (&str, i64, &str, &str)) -> Witness {
        let name = |hash: &str| (hash != "-").then(|| BlockHash::new(hash));
        Witness {
            provider: provider.to_owned(),
            newest: NOW.plus_ms(-age_ms),
            names: vec![name(tip), name(irreversible)],
        }
    }

    fn stand(wrong: &[&str]) -> Ruling {
        Ruling::Stand { wrong: wrong.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn ours_is_left_when_more_providers_left_it_than_keep_to_it_i4_i5() {
        let (alone, agreed) =
            (Ruling::Leave { is_agreed: false }, Ruling::Leave { is_agreed: true });
        let (a, b, c) = (("a", 0, "ours", "f"), ("b", 0, "theirs", "f"), ("c", 0, "theirs", "f"));
        let b_keeps = ("b", 0, "ours", "f");
        let (b_lost, c_lost) = (("b", 0, "theirs", "g"), ("c", 0, "theirs", "g"));
        let cases = [
            ("nobody to ask", vec![], alone.clone()),
            ("the only one left it", vec![b], alone.clone()),
            ("two left it", vec![b, c], agreed.clone()),
            ("one against one", vec![a, b], stand(&["b"])),
            ("one against two", vec![a, b, c], agreed.clone()),
            ("two against one", vec![a, ("d", 0, "ours", "f"), b], stand(&["b"])),
            (
                "two that left it for different ones",
                vec![a, b, ("c", 0, "third", "f")],
                stand(&["b", "c"]),
            ),
            (
                "the one that keeps to it stands still",
                vec![("a", 31_000, "ours", "f"), b],
                alone.clone(),
            ),
            ("it does not, by the clock", vec![a, ("b", -9_000_000, "theirs", "f")], stand(&["b"])),
            ("who shows it names ours when asked", vec![b_keeps, a], stand(&["b"])),
            ("who shows it is silent", vec![a, ("b", 0, "-", "f")], stand(&["b"])),
            ("one against two, irreversibly", vec![a, b_lost, c_lost], stand(&["b", "c"])),
            ("everybody, irreversibly", vec![b_lost], alone),
            (
                "an irreversible one beside two that left it",
                vec![b, c, ("d", 0, "fourth", "g")],
                agreed,
            ),
        ];
        for (name, witnesses, expected) in cases {
            let witnesses: Vec<Witness> = witnesses.into_iter().map(witness).collect();
            let (ours, irreversible) = (place(9, "ours"), place(5, "f"));
            let theirs = BlockHash::new("theirs");
            let ruling = judge(&ours, &theirs, Some(&irreversible), &witnesses, NOW, true);
            assert_eq!(ruling, expected, "{name}");
        }
    }

    #[test]
    fn who_keeps_to_ours_gets_time_to_see_what_others_see() {
        let witnesses = [("a", 0, "ours", "f"), ("b", 0, "theirs", "f")].map(witness);
        let (ours, theirs) = (place(9, "ours"), BlockHash::new("theirs"));
        assert_eq!(judge(&ours, &theirs, None, &witnesses, NOW, false), Ruling::Wait);
        assert_eq!(judge(&ours, &theirs, None, &witnesses, NOW, true), stand(&["b"]));
    }
}
