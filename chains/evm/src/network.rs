//! [`Evm`]: a network, and what is kept of it.

use std::sync::Once;

use confirmd_chain::{Address, ChainError};
use confirmd_rpc::Pool;

use crate::address;
use crate::bloom::SourceBlooms;
use crate::calls::LogFilter;
use crate::config::EvmConfig;
use crate::credits::Sources;
use crate::tracers::Tracers;
use crate::window::Window;

/// An EVM network.
#[derive(Debug)]
pub struct Evm {
    pub(crate) config: EvmConfig,
    pub(crate) pool: Pool,
    pub(crate) sources: Sources,
    pub(crate) filter: LogFilter,
    pub(crate) blooms: SourceBlooms,
    pub(crate) tracers: Tracers,
    pub(crate) window: Window,
    pub(crate) subscribed: Once,
}

impl Evm {
    /// A network, asked of these providers.
    ///
    /// # Errors
    /// [`ChainError::Misconfigured`] where the configuration cannot be kept; it says why.
    pub fn new(config: EvmConfig, pool: Pool) -> Result<Self, ChainError> {
        if let Some(problem) = config.problem() {
            return Err(ChainError::Misconfigured(problem));
        }
        let raw = |contract: &Address| {
            address::raw(contract).ok_or_else(|| {
                let network = &config.network;
                ChainError::Misconfigured(format!("{network}: {contract} is no address"))
            })
        };
        let proxies = &config.fee_proxies;
        let native_proxy = proxies.native.as_ref().filter(|_| config.native);
        let sources = Sources {
            tokens: config.tokens.iter().map(raw).collect::<Result<_, _>>()?,
            token_proxy: proxies.erc20.as_ref().map(raw).transpose()?,
            native_proxy: native_proxy.map(raw).transpose()?,
        };
        Ok(Self {
            filter: LogFilter::new(&sources),
            blooms: SourceBlooms::new(&sources),
            sources,
            tracers: Tracers::default(),
            config,
            pool,
            window: Window::default(),
            subscribed: Once::new(),
        })
    }

    /// What the network was configured with.
    #[must_use]
    pub fn config(&self) -> &EvmConfig {
        &self.config
    }
}
