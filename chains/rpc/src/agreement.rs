//! What several providers say of the same thing: which block is the newest, which one stands at a
//! height.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use confirmd_chain::{BlockHash, Header, Heads, Height, Timestamp, Witness};
use futures_util::future::join_all;

use crate::{AskError, Failure, Fault, FaultKind, Pool, Provider};

/// The time of a provider's newest block, and which blocks it names at the heights that were asked
/// for; none where it has none, or proves none.
pub type Names = (Timestamp, Vec<Option<BlockHash>>);

/// What a provider says of a block that another one showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// It shows the same.
    TheSame,
    /// It shows something else: what it is to blame for where the others outvote it, in words
    /// that go on with who they are.
    Otherwise(Fault),
}

impl Pool {
    /// Asks for the newest block. A provider that `lags`, given its newest block and the newest
    /// that any showed before, is put aside; but where all do, that is where the chain is now.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn heads<F>(
        &self,
        lags: impl Fn(&Header, &Header) -> bool + Sync,
        mut attempt: impl FnMut(Arc<Provider>) -> F + Send,
    ) -> Result<Heads, AskError>
    where
        F: Future<Output = Result<Heads, Failure>> + Send,
    {
        // With one provider there is nobody to compare it with.
        let may_compare = self.providers().len() > 1;
        let behind = Mutex::new(None::<Heads>);
        let (behind, lags) = (&behind, &lags);
        let asked = self.ask(|provider| {
            let heads = attempt(provider);
            async move {
                let heads = heads.await?;
                let newest = self.newest().clone();
                if !may_compare || newest.is_none_or(|newest| !lags(&heads.latest, &newest)) {
                    return Ok(heads);
                }
                let height = heads.latest.height;
                let mut best = behind.lock().unwrap_or_else(PoisonError::into_inner);
                if best.as_ref().is_none_or(|best| best.latest.height < height) {
                    *best = Some(heads);
                }
                Err(Failure::stale(format!("its newest block {height} is old")))
            }
        });
        let asked = asked.await;
        let behind = behind.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (asked, behind) {
            (Ok(heads), _) => {
                let mut newest = self.newest();
                if newest.as_ref().is_none_or(|newest| newest.height < heads.latest.height) {
                    *newest = Some(heads.latest.clone());
                }
                Ok(heads)
            }
            (Err(_), Some(heads)) => {
                let (network, height) = (self.network(), heads.latest.height);
                tracing::warn!(%network, %height, "every newest block is old");
                *self.newest() = Some(heads.latest.clone());
                Ok(heads)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Holds a block that one provider showed against what the others name at its height. Those
    /// that name another one, where as many as the quorum name this one, are put aside. Enough
    /// where the hash commits to all that is read of a block; else [`Self::agree`].
    ///
    /// # Errors
    /// As [`Self::agree`].
    pub async fn agree_on<F>(
        &self,
        block: &Header,
        shown_by: &Provider,
        attempt: impl Fn(Arc<Provider>) -> F,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<Header, Failure>>,
    {
        let named = |provider| {
            let theirs = attempt(provider);
            async move { Ok(names(block, &theirs.await?)) }
        };
        self.agree(block, shown_by, named).await
    }

    /// Holds a block that one provider showed against what the others say of it. Those that say
    /// otherwise, where as many as the quorum show the same, are put aside. With a quorum of one
    /// nobody is asked.
    ///
    /// # Errors
    /// [`Failure::Contested`] where too few show the same, or [`Failure::Missing`] where the others
    /// do not have it yet.
    pub async fn agree<F>(
        &self,
        block: &Header,
        shown_by: &Provider,
        witness: impl Fn(Arc<Provider>) -> F,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<Says, Failure>>,
    {
        let (height, hash, quorum) = (block.height, &block.hash, self.quorum());
        let mut agreed = vec![shown_by.name().to_owned()];
        let (mut differ, mut silent) = (Vec::new(), Vec::new());
        for provider in self.order() {
            if agreed.len() >= quorum {
                break;
            }
            let name = provider.name().to_owned();
            if name == shown_by.name() || !provider.status().healthy {
                continue;
            }
            match witness(provider).await {
                Ok(Says::TheSame) => agreed.push(name),
                Ok(Says::Otherwise(fault)) => differ.push((name, fault)),
                Err(failure) => silent.push((name, failure)),
            }
        }
        if agreed.len() >= quorum {
            for (name, fault) in differ {
                let words = format!("{}, {} agree on {hash}", fault.words, agreed.join(", "));
                self.accuse(&name, &Fault { words, ..fault });
            }
            return Ok(());
        }
        let lacks = |(_, failure): &(String, Failure)| matches!(failure, Failure::Missing(_));
        let is_early = differ.is_empty() && !silent.is_empty() && silent.iter().all(lacks);
        let differ = differ.into_iter().map(|(name, fault)| format!("{name} {}", fault.words));
        let silent = silent.into_iter().map(|(name, failure)| format!("{name}: {failure}"));
        let others: Vec<String> = differ.chain(silent).collect();
        let words = format!(
            "block {height}: {quorum} providers have to name {hash}, so far {}; {}",
            agreed.join(", "),
            others.join("; ")
        );
        Err(if is_early { Failure::Missing(words) } else { Failure::Contested(words) })
    }

    /// What each provider names at these heights, the one that is asked first before the others;
    /// also of those that are put aside, unless they asked for it.
    pub async fn witnesses<F>(
        &self,
        heights: &[Height],
        names: impl Fn(Arc<Provider>) -> F,
    ) -> Vec<Witness>
    where
        F: Future<Output = Result<Names, Failure>>,
    {
        let able = self.order().into_iter().filter(|provider| !provider.is_resting());
        let asked = able.map(|provider| {
            let (name, said) = (provider.name().to_owned(), names(provider));
            async move {
                let nothing = || (Timestamp(0), vec![None; heights.len()]);
                let (newest, names) = said.await.unwrap_or_else(|_| nothing());
                Witness { provider: name, newest, names }
            }
        });
        join_all(asked).await
    }
}

/// Whether two headers name one block.
fn names(block: &Header, theirs: &Header) -> Says {
    if theirs.hash == block.hash {
        return Says::TheSame;
    }
    let words = format!("names {} at {}", theirs.hash, block.height);
    Says::Otherwise(Fault::new(FaultKind::Forked, words))
}
