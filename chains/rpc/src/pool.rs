//! A network's providers, asked in order of health.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use confirmd_chain::{Header, Height, ProviderStatus};
use tokio::time::Instant;

use crate::http::client;
use crate::provider::Provider;
use crate::wake::Wake;
use crate::{AskError, ConfigError, Failure, Fault, FaultKind, Limits, ProviderConfig, Request};

/// A network's providers.
#[derive(Debug)]
pub struct Pool {
    network: Arc<str>,
    limits: Limits,
    providers: Vec<Arc<Provider>>,
    /// Which one was asked last. Another one is a failover.
    current: AtomicUsize,
    /// How many of them have to show the same block before it is taken.
    quorum: usize,
    /// The newest block that any of them showed.
    newest: Mutex<Option<Header>>,
    wake: Wake,
}

impl Pool {
    /// A pool of these providers; the order is that of preference.
    ///
    /// # Errors
    /// Where there are none, two have one name, or a URL is none.
    pub fn new(
        network: &str,
        providers: &[ProviderConfig],
        limits: Limits,
    ) -> Result<Self, ConfigError> {
        // A daemon does this in main; a library's test may not have. Losing a race is fine.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        if providers.is_empty() {
            return Err(ConfigError::NoProviders { network: network.to_owned() });
        }
        let client = client(&limits)?;
        let shared: Arc<str> = network.into();
        let mut pool = Vec::<Arc<Provider>>::with_capacity(providers.len());
        let mut wake = Wake::default();
        for config in providers {
            if pool.iter().any(|other| other.name() == config.name) {
                let (network, name) = (network.to_owned(), config.name.clone());
                return Err(ConfigError::DuplicateName { network, name });
            }
            let provider =
                Provider::new(Arc::clone(&shared), config, limits.clone(), client.clone())?;
            pool.push(Arc::new(provider));
            if let Some(url) = config.ws_url()? {
                wake.add(&config.name, &url, &client)?;
            }
        }
        Ok(Self {
            network: shared,
            limits,
            providers: pool,
            current: AtomicUsize::new(0),
            quorum: 1,
            newest: Mutex::default(),
            wake,
        })
    }

    /// The same, for blocks that so many providers have to show before one is taken. One is enough
    /// without this.
    #[must_use]
    pub fn with_quorum(mut self, providers: usize) -> Self {
        self.quorum = providers.max(1);
        self
    }

    pub(crate) fn quorum(&self) -> usize {
        self.quorum
    }

    /// The newest height that any provider named, once one did.
    #[must_use]
    pub fn newest_height(&self) -> Option<Height> {
        self.newest().as_ref().map(|newest| newest.height)
    }

    pub(crate) fn newest(&self) -> MutexGuard<'_, Option<Header>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The network's id.
    #[must_use]
    pub fn network(&self) -> &str {
        &self.network
    }

    /// All providers as they were configured.
    #[must_use]
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// The providers as they are now, for the status.
    #[must_use]
    pub fn statuses(&self) -> Vec<ProviderStatus> {
        self.providers.iter().map(|provider| provider.status()).collect()
    }

    /// Puts a provider aside for what shows only in comparison with others.
    pub fn accuse(&self, provider: &str, fault: &Fault) {
        if let Some(accused) = self.providers.iter().find(|other| other.name() == provider) {
            accused.fault(fault, Instant::now());
        }
    }

    /// All providers by health: those in good standing as configured, then those that came back a
    /// moment ago, then those that are put aside, the first to come back first.
    #[must_use]
    pub fn order(&self) -> Vec<Arc<Provider>> {
        let now = Instant::now();
        let mut order = self.providers.clone();
        order.sort_by_cached_key(|provider| {
            let health = provider.health();
            let back = health.is_aside(now).then(|| health.last_resort_at()).flatten();
            (back, health.demerits(now))
        });
        order
    }

    /// Asks one provider after the other, in order of health, until one gives a usable, verified
    /// answer. The attempt makes its calls on the one provider that it is given, proves what it
    /// was told, and says by a [`Failure`] whose fault it is where that fails.
    ///
    /// Providers that are put aside are not asked. Where all are, it waits for the first to come
    /// back, up to [`Limits::patience`].
    ///
    /// # Errors
    /// Where all failed, what weighs most: [`AskError::Unproven`] before [`AskError::Missing`]
    /// before [`AskError::Unavailable`] before what nobody can do. [`Failure::TooMuch`] and
    /// [`Failure::GiveUp`] at once.
    pub async fn ask<T, A, F>(&self, mut attempt: A) -> Result<T, AskError>
    where
        A: FnMut(Arc<Provider>) -> F + Send,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let attempt = |provider: Arc<Provider>| {
            self.take_over(&provider);
            attempt(provider)
        };
        self.ask_each(attempt, Provider::fault).await
    }

    /// As [`Self::ask`], for what must never stand in the way of blocks: who fails is counted and
    /// shown, but not put aside for it, unless it asks to be left alone.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn ask_beside<T, A, F>(&self, attempt: A) -> Result<T, AskError>
    where
        A: FnMut(Arc<Provider>) -> F + Send,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        self.ask_each(attempt, Provider::fault_beside).await
    }

    async fn ask_each<T, A, F>(
        &self,
        mut attempt: A,
        blame: fn(&Provider, &Fault, Instant),
    ) -> Result<T, AskError>
    where
        A: FnMut(Arc<Provider>) -> F + Send,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let ready = self.ready().await?;
        // One that is put aside may have what the others lack for good.
        let unavailable = ready.len() < self.providers.len();
        let mut failures = Failures { unavailable, ..Failures::default() };
        for provider in ready {
            let started = Instant::now();
            let failure = match attempt(Arc::clone(&provider)).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::TooMuch(words)) => {
                    return Err(AskError::TooMuch(provider.clean(&words)));
                }
                Err(Failure::GiveUp(words)) => {
                    return Err(AskError::GiveUp(provider.clean(&words)));
                }
                Err(failure) => failure,
            };
            if let Failure::Fault(fault) = &failure {
                blame(&provider, fault, started);
            }
            failures.add(&provider, &failure);
        }
        Err(failures.verdict())
    }

    /// Subscribes at every provider that has a websocket, and goes on for as long as the pool
    /// lives: `subscribe` is the family's request (EVM: `eth_subscribe` with `newHeads`). Call it
    /// once, within a runtime.
    pub fn subscribe(&self, subscribe: &Request) {
        self.wake.subscribe(&self.network, subscribe);
    }

    /// Returns when a provider hints at a new block. Only a hint, and it may never come. Hints
    /// that came while nobody waited count as one.
    pub async fn woken(&self) {
        self.wake.woken().await;
    }

    /// The providers that may be asked now; waits for one where there is none.
    async fn ready(&self) -> Result<Vec<Arc<Provider>>, AskError> {
        let patient_until = Instant::now() + self.limits.patience;
        loop {
            let now = Instant::now();
            let mut order = self.order();
            let aside = |provider: &Arc<Provider>| provider.health().is_aside(now);
            if order.iter().any(|provider| !aside(provider)) {
                order.retain(|provider| !aside(provider));
                return Ok(order);
            }
            let Some(first) = order.into_iter().next() else { return Ok(Vec::new()) };
            let back = first.health().last_resort_at().unwrap_or(now);
            if back <= now {
                return Ok(vec![first]);
            }
            if back > patient_until {
                let seconds = back.duration_since(now).as_secs() + 1;
                let last = first.health().last_fault().unwrap_or_default().to_owned();
                let name = first.name();
                return Err(AskError::Unavailable(format!(
                    "all providers are put aside; {name} comes back in {seconds} s ({last})"
                )));
            }
            tokio::time::sleep_until(back).await;
        }
    }

    /// Notes which provider is asked now. One that takes over from another has to show again
    /// that it serves the right network.
    fn take_over(&self, provider: &Arc<Provider>) {
        let index = self.providers.iter().position(|other| Arc::ptr_eq(other, provider));
        let index = index.unwrap_or_default();
        if self.current.swap(index, Ordering::AcqRel) != index {
            tracing::info!(network = %self.network, provider = provider.name(), "takes over");
            provider.distrust();
        }
    }
}

/// What each provider said, and which of it weighs most.
#[derive(Default)]
struct Failures {
    words: Vec<String>,
    unproven: bool,
    missing: bool,
    unsupported: bool,
    hopeless: bool,
    unavailable: bool,
}

impl Failures {
    fn add(&mut self, provider: &Provider, failure: &Failure) {
        match failure {
            Failure::Fault(fault) => match fault.kind {
                FaultKind::Unproven | FaultKind::Stale | FaultKind::Forked => self.unproven = true,
                FaultKind::WrongChain => self.hopeless = true,
                FaultKind::RateLimited | FaultKind::Unreachable | FaultKind::Malformed => {
                    self.unavailable = true;
                }
            },
            Failure::Missing(_) => self.missing = true,
            Failure::Contested(_) => self.unproven = true,
            Failure::Unsupported(_) => self.unsupported = true,
            Failure::Invalid(_) => self.hopeless = true,
            // These end the asking and are never added.
            Failure::TooMuch(_) | Failure::GiveUp(_) => {}
        }
        let words = provider.clean(&failure.to_string());
        self.words.push(format!("{}: {words}", provider.name()));
    }

    fn verdict(self) -> AskError {
        let words = self.words.join("; ");
        match self {
            Self { unproven: true, .. } => AskError::Unproven(words),
            Self { missing: true, .. } => AskError::Missing(words),
            Self { unavailable: true, .. } => AskError::Unavailable(words),
            Self { unsupported: true, .. } => AskError::Unsupported(words),
            Self { hopeless: true, .. } => AskError::GiveUp(words),
            _ => AskError::Unavailable(words),
        }
    }
}
