//! [`Bitcoin`]: a network, and what is kept of it.

use std::sync::Once;

use confirmd_rpc::Pool;

use crate::config::BitcoinConfig;
use crate::headers::Headers;
use crate::pending::Pending;
use crate::recent::Recent;
use crate::zmq::Zmq;

/// A network of Bitcoin's family.
#[derive(Debug)]
pub struct Bitcoin {
    pub(crate) config: BitcoinConfig,
    pub(crate) pool: Pool,
    pub(crate) recent: Recent,
    pub(crate) pending: Pending,
    pub(crate) headers: Headers,
    pub(crate) zmq: Zmq,
    pub(crate) subscribed: Once,
}

impl Bitcoin {
    /// A network, asked of these providers.
    #[must_use]
    pub fn new(config: BitcoinConfig, pool: Pool) -> Self {
        Self {
            config,
            pool,
            recent: Recent::default(),
            pending: Pending::default(),
            headers: Headers::default(),
            zmq: Zmq::default(),
            subscribed: Once::new(),
        }
    }

    /// The same, woken by the ZMQ notifications of these nodes: provider and `host:port` of each.
    #[must_use]
    pub fn woken_by(mut self, nodes: Vec<(String, String)>) -> Self {
        self.zmq = Zmq::new(nodes);
        self
    }

    /// What the network was configured with.
    #[must_use]
    pub fn config(&self) -> &BitcoinConfig {
        &self.config
    }
}
