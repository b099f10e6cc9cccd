//! `surfpool RPC_PORT WS_PORT CONTROL_PORT SLOT_MS clock|manual`: a Solana node on this machine,
//! with an empty chain and nobody to talk to. `surfpool --version` starts nothing.
//!
//! A slot is closed each SLOT_MS, or by hand: whoever sends a number to the control port, as a
//! line, has as many closed, and is told which one is open then.

use std::{
    error::Error,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use surfpool_core::{
    runloops::start_local_surfnet_runloop,
    surfnet::{
        BlockIdentifier,
        locker::SurfnetSvmLocker,
        svm::{SurfnetSvm, SurfnetSvmConfig},
    },
};
use surfpool_types::{
    BlockProductionMode, RpcConfig, SimnetConfig, SurfpoolConfig, SvmFeatureConfig,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--version"] {
        println!("surfpool {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let [rpc_port, ws_port, control_port, slot_ms, slots] = arguments.as_slice() else {
        return Err("usage: surfpool RPC_PORT WS_PORT CONTROL_PORT SLOT_MS clock|manual".into());
    };
    let slot_ms = slot_ms.parse()?;
    let simnet = SimnetConfig {
        offline_mode: true,
        remote_rpc_url: None,
        slot_time: slot_ms,
        // By `close_slot` alone.
        block_production_mode: BlockProductionMode::Manual,
        ..SimnetConfig::default()
    };
    let (mut svm, events, geyser) = SurfnetSvm::new(SurfnetSvmConfig {
        surfnet_id: simnet.surfnet_id.clone(),
        slot_time: simnet.slot_time,
        instruction_profiling_enabled: false,
        max_profiles: simnet.max_profiles,
        log_bytes_limit: simnet.log_bytes_limit,
        feature_config: SvmFeatureConfig::default(),
        skip_blockhash_check: false,
    })?;
    number_hashes_by_slot(&mut svm)?;
    let svm = SurfnetSvmLocker::new(svm);
    let config = SurfpoolConfig {
        simnets: vec![simnet],
        rpc: RpcConfig {
            bind_host: Ipv4Addr::LOCALHOST.to_string(),
            bind_port: rpc_port.parse()?,
            ws_port: ws_port.parse()?,
            ..RpcConfig::default()
        },
        ..SurfpoolConfig::default()
    };
    let control = TcpListener::bind((Ipv4Addr::LOCALHOST, control_port.parse()?))?;
    thread::spawn({
        let svm = svm.clone();
        move || control.incoming().flatten().for_each(|stream| serve(&stream, &svm))
    });
    if slots == "clock" {
        let svm = svm.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_millis(slot_ms));
                if let Err(error) = close_slot(&svm) {
                    eprintln!("clock: {error}");
                }
            }
        });
    }
    // Read, or they pile up.
    thread::spawn(move || while events.recv().is_ok() {});
    let (commands, received) = crossbeam_channel::unbounded();
    let node = start_local_surfnet_runloop(svm, config, commands, received, geyser);
    hiro_system_kit::nestable_block_on(node)
}

/// A block without transactions is not kept, but made up when somebody asks, with hashes that are
/// its slot's number and its parent's. The hashes of others are numbered by a count of blocks that
/// starts at 0, where the first slot is 31: set to the slot, so that they link. And the chain is
/// made to begin at 0, as every cluster's does.
fn number_hashes_by_slot(svm: &mut SurfnetSvm) -> Outcome<()> {
    let first = svm.latest_epoch_info();
    let slot = first.absolute_slot;
    svm.chain_tip = BlockIdentifier::new(slot.saturating_sub(1), "");
    let schedule = svm.inner.get_sysvar();
    svm.initialize(first, schedule);
    svm.genesis_slot = 0;
    svm.genesis_updated_at = svm.genesis_updated_at.saturating_sub(slot * svm.slot_time);
    svm.reconstruct_sysvars();
    let mut genesis = svm.reconstruct_empty_block(0);
    genesis.previous_blockhash = "1".repeat(32);
    Ok(svm.blocks.store(0, genesis)?)
}

/// Closes the open slot, and gives the one after it. A block that is made up has its slot for its
/// height, a block that is kept one more: set to the slot, so that each is one above its parent.
fn close_slot(svm: &SurfnetSvmLocker) -> Result<u64, String> {
    let closed = svm.with_svm_writer(|svm| {
        let slot = svm.get_latest_absolute_slot();
        svm.confirm_current_block()?;
        if let Some(mut block) = svm.blocks.get(&slot)? {
            block.block_height = slot;
            svm.blocks.store(slot, block)?;
        }
        Ok(svm.get_latest_absolute_slot())
    });
    closed.map_err(|error: surfpool_core::error::SurfpoolError| error.to_string())
}

fn serve(stream: &TcpStream, svm: &SurfnetSvmLocker) {
    let served = BufReader::new(stream).lines().try_for_each(|line| {
        let slots: u64 = line?.trim().parse()?;
        for _ in 0..slots {
            close_slot(svm)?;
        }
        writeln!(&mut &*stream, "{}", svm.get_latest_absolute_slot())?;
        Outcome::Ok(())
    });
    served.unwrap_or_else(|error| eprintln!("control: {error}"));
}
