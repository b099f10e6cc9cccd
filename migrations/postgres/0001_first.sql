-- One row a network: how far it was followed, what the status shows of it.
CREATE TABLE networks (
    network          TEXT   NOT NULL PRIMARY KEY,
    epoch            BIGINT NOT NULL DEFAULT 0,   -- rises with every new follower: the fence
    watch_version    BIGINT NOT NULL DEFAULT 0,   -- rises with every new watch
    cursor_height    BIGINT,                      -- the newest committed block
    cursor_hash      TEXT,
    cursor_time      BIGINT,
    finalized_height BIGINT,                      -- only rises
    status           TEXT   NOT NULL DEFAULT '{}', -- what its follower last said of itself, JSON
    updated_at       BIGINT NOT NULL DEFAULT 0
);

-- The instances that live, and which networks each can follow. Times are the database's.
CREATE TABLE instances (
    instance TEXT   NOT NULL PRIMARY KEY,
    networks TEXT   NOT NULL,                     -- JSON array
    until    BIGINT NOT NULL                      -- gone, unless heard of before
);

-- Which instance follows a network, until when unless it renews. Apart from the network's row,
-- which every step locks: a long commit must not cost a lease.
CREATE TABLE leases (
    network  TEXT   NOT NULL PRIMARY KEY,
    instance TEXT   NOT NULL,
    until    BIGINT NOT NULL
);

-- The linked blocks of the kept window.
CREATE TABLE blocks (
    network       TEXT   NOT NULL,
    height        BIGINT NOT NULL,
    hash          TEXT   NOT NULL,
    parent        TEXT   NOT NULL,
    parent_height BIGINT NOT NULL,                -- the network skipped those between
    time          BIGINT NOT NULL,                -- as the chain counts it
    mined_at      BIGINT NOT NULL,                -- as its maker wrote it
    work          TEXT   NOT NULL,                -- what it adds to its branch's weight
    PRIMARY KEY (network, height)
);

-- The scan ledger: which blocks were committed, and how they were proven. What a reorg replaced
-- stays: of several rows with a height the newest stands.
CREATE TABLE scans (
    position     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    network      TEXT   NOT NULL,
    first_height BIGINT NOT NULL,
    first_hash   TEXT   NOT NULL,
    last_height  BIGINT NOT NULL,
    last_hash    TEXT   NOT NULL,
    proof        TEXT   NOT NULL,                 -- commitment, logs
    provider     TEXT   NOT NULL,                 -- who showed them
    examined     BIGINT NOT NULL,                 -- what was held against the watches
    matched      BIGINT NOT NULL,                 -- transfers that hit a watch
    began_at     BIGINT NOT NULL,                 -- when the first of them was committed
    committed_at BIGINT NOT NULL                  -- when the last of them was
);
CREATE INDEX scans_by_height ON scans (network, last_height);
CREATE INDEX scans_by_time ON scans (committed_at);

-- Thresholds that admins set at run time, over those of the configuration.
CREATE TABLE thresholds (
    network   TEXT   NOT NULL PRIMARY KEY,
    threshold BIGINT NOT NULL,
    applied   BIGINT NOT NULL DEFAULT 0           -- 1 once the open intents follow it
);

-- Who changed them, and when. Never pruned.
CREATE TABLE threshold_changes (
    id         TEXT   NOT NULL PRIMARY KEY,
    network    TEXT   NOT NULL,
    before     BIGINT NOT NULL,
    after      BIGINT NOT NULL,
    actor_type TEXT   NOT NULL,
    actor_name TEXT   NOT NULL,
    api_key    TEXT   NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE INDEX threshold_changes_by_time ON threshold_changes (changed_at, id);

CREATE TABLE intents (
    intent         TEXT   NOT NULL PRIMARY KEY,   -- account/id
    account        TEXT   NOT NULL,
    id             TEXT   NOT NULL,
    api_key        TEXT   NOT NULL,               -- whose limit it counts against
    request_hash   TEXT   NOT NULL,               -- of the normalised request
    status         TEXT   NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    watch_until    BIGINT,                        -- set when it closes: end of the late window
    tolerance      TEXT   NOT NULL,
    confirmations  BIGINT,
    endpoints      TEXT   NOT NULL,               -- JSON array
    wants_progress BIGINT NOT NULL DEFAULT 0,
    metadata       TEXT   NOT NULL,
    dialect_data   TEXT   NOT NULL,
    state          TEXT   NOT NULL,               -- settlement's memory, JSON
    UNIQUE (account, id)
);
CREATE INDEX intents_by_expiry ON intents (status, expires_at);
CREATE INDEX intents_by_account ON intents (account, created_at, id);
CREATE INDEX intents_by_key ON intents (api_key, status);
CREATE INDEX intents_by_watch_end ON intents (watch_until) WHERE watch_until IS NOT NULL;

CREATE TABLE rails (
    intent   TEXT   NOT NULL REFERENCES intents (intent),
    position BIGINT NOT NULL,
    rail_id  TEXT   NOT NULL,
    network  TEXT   NOT NULL,
    caip2    TEXT   NOT NULL,
    chain_id BIGINT,
    asset    TEXT   NOT NULL,                     -- native, or the token's address
    caip19   TEXT   NOT NULL,
    symbol   TEXT   NOT NULL,
    decimals BIGINT NOT NULL,
    amount   TEXT   NOT NULL,                     -- base units
    address  TEXT   NOT NULL,
    token_account TEXT,                           -- where it arrives, where that is another
    payment_uri TEXT,                             -- what a payer's wallet reads
    matching TEXT   NOT NULL,                     -- address, reference, memo, exact_amount
    reference TEXT,                               -- it or the memo, as the payer is told
    discriminator TEXT NOT NULL,                  -- what a payment must have to be this rail's:
                                                  -- nothing, reference:<as shown>, amount:<units>
    policy   TEXT   NOT NULL,
    required BIGINT NOT NULL,
    replaced_at BIGINT,                           -- when another rail took its place
    waiting  BIGINT NOT NULL,                     -- 1 while the intent is open and it stands
    watch    BYTEA  NOT NULL,                     -- what decoders look up
    version  BIGINT NOT NULL,                     -- the watch version that brought it
    watching BIGINT NOT NULL,                     -- 1 until the late window is over
    PRIMARY KEY (intent, position)
);
-- What one open intent waits for, no other may.
CREATE UNIQUE INDEX rails_waiting ON rails (network, asset, address, discriminator)
    WHERE waiting = 1;
CREATE INDEX rails_by_match ON rails (network, address, discriminator, asset);
CREATE INDEX rails_by_address ON rails (network, address, asset, waiting, version);
CREATE INDEX rails_by_version ON rails (network, version);

-- Transfers that hit a watch, each with its one allocation. Never pruned.
CREATE TABLE transfers (
    network     TEXT   NOT NULL,
    tx          TEXT   NOT NULL,
    idx         TEXT   NOT NULL,
    intent      TEXT   NOT NULL REFERENCES intents (intent),
    asset       TEXT   NOT NULL,
    symbol      TEXT   NOT NULL,
    decimals    BIGINT NOT NULL,
    sender      TEXT,
    receiver    TEXT   NOT NULL,
    amount      TEXT   NOT NULL,                  -- base units
    carried     TEXT   NOT NULL,                  -- the references that it carries, JSON array
    allocation  TEXT   NOT NULL,                  -- rail: it matched one; stray: it came to an
                                                  -- address of the intent; ambiguous: of several
    maturity    BIGINT NOT NULL,                  -- confirmations before anybody can spend it
    height      BIGINT,                           -- NULL once a reorg took it
    block_hash  TEXT,
    block_time  BIGINT,
    position    BIGINT,
    credit_time BIGINT NOT NULL,
    role        TEXT   NOT NULL,                  -- pays:<rail>, orphan:<reason>, seen:<rail>, gone
    confirmed_at BIGINT,                          -- when it became deep enough
    orphan      TEXT   NOT NULL,                  -- what was reported of it as an orphan, JSON
    orphan_id   TEXT   NOT NULL,
    resolution  TEXT,                             -- what an admin decided about it, JSON
    wake_height BIGINT,                           -- the cursor at which it is deep enough
    shown_at    BIGINT,                           -- when a mempool last showed it, if one did
    fee_rate    BIGINT,                           -- thousandths of a base unit per virtual byte
    replaceable BIGINT NOT NULL DEFAULT 0,        -- 1: it says that it may be replaced
    replaced_by TEXT,                             -- the transaction that spends the same
    replaced_height BIGINT,                       -- the block of that one, if it stands in one
    PRIMARY KEY (network, tx, idx)
);
CREATE INDEX transfers_by_intent ON transfers (intent);
CREATE INDEX transfers_by_transaction ON transfers (tx);
CREATE INDEX transfers_by_height ON transfers (network, height) WHERE height IS NOT NULL;
CREATE INDEX transfers_by_wake ON transfers (network, wake_height) WHERE wake_height IS NOT NULL;
CREATE INDEX transfers_by_replacement ON transfers (network, replaced_height)
    WHERE replaced_height IS NOT NULL;
CREATE UNIQUE INDEX transfers_by_orphan ON transfers (orphan_id);

-- What the transactions spend that a mempool showed: watched, so that another one that spends the
-- same is noticed.
CREATE TABLE outpoints (
    network TEXT   NOT NULL,
    watch   BYTEA  NOT NULL,                      -- what decoders look up
    tx      TEXT   NOT NULL,
    version BIGINT NOT NULL,                      -- the watch version that brought it
    PRIMARY KEY (network, watch, tx)
);
CREATE INDEX outpoints_by_version ON outpoints (network, version);

-- Wallets: where fresh addresses come from, and deposits without an intent go.
CREATE TABLE wallets (
    wallet        TEXT   NOT NULL PRIMARY KEY,    -- account//id
    account       TEXT   NOT NULL,
    id            TEXT   NOT NULL,
    network       TEXT   NOT NULL,
    request_hash  TEXT   NOT NULL,
    public_keys   TEXT,                           -- NULL: an imported list
    endpoints     TEXT   NOT NULL,                -- JSON array: where its deposits are reported
    confirmations BIGINT,                         -- its own wish
    gap_limit     BIGINT NOT NULL,                -- unpaid addresses in a row, at most
    next_index    BIGINT NOT NULL DEFAULT 0,      -- the first that was neither handed out nor paid
    used_end      BIGINT NOT NULL DEFAULT 0,      -- the first behind the last that was paid
    derived_end   BIGINT NOT NULL DEFAULT 0,      -- the first that is not watched yet
    created_at    BIGINT NOT NULL,
    UNIQUE (account, id)
);
CREATE INDEX wallets_by_time ON wallets (created_at, wallet);

-- Their addresses: handed out, or watched ahead of that. Never pruned.
CREATE TABLE wallet_addresses (
    network     TEXT   NOT NULL,
    address     TEXT   NOT NULL,
    wallet      TEXT   NOT NULL REFERENCES wallets (wallet),
    idx         BIGINT NOT NULL,                  -- derivation index, or the place in the list
    path        TEXT,
    external_id TEXT,                             -- what the backend calls it
    handed_at   BIGINT,                           -- NULL: watched ahead
    used_at     BIGINT,                           -- when it was first paid
    watch       BYTEA  NOT NULL,                  -- what decoders look up
    version     BIGINT NOT NULL,                  -- the watch version that brought it
    PRIMARY KEY (network, address),
    UNIQUE (wallet, idx),
    UNIQUE (wallet, external_id)
);
CREATE INDEX wallet_addresses_by_version ON wallet_addresses (network, version);
CREATE INDEX wallet_addresses_by_watch ON wallet_addresses (network, watch);
CREATE INDEX wallet_addresses_free ON wallet_addresses (wallet, idx)
    WHERE handed_at IS NULL AND used_at IS NULL;

-- Transfers that were given to a wallet. Never pruned.
CREATE TABLE deposits (
    network     TEXT   NOT NULL,
    tx          TEXT   NOT NULL,
    idx         TEXT   NOT NULL,
    deposit     TEXT   NOT NULL UNIQUE,           -- its id
    wallet      TEXT   NOT NULL REFERENCES wallets (wallet),
    asset       TEXT   NOT NULL,
    symbol      TEXT   NOT NULL,
    decimals    BIGINT NOT NULL,
    sender      TEXT,
    receiver    TEXT   NOT NULL,
    amount      TEXT   NOT NULL,                  -- base units
    minimum     TEXT   NOT NULL,                  -- base units, as it was when it came
    height      BIGINT,                           -- NULL once a reorg took it
    block_hash  TEXT,
    block_time  BIGINT,
    position    BIGINT,
    credit_time BIGINT NOT NULL,
    required    BIGINT NOT NULL,                  -- confirmations, as they were when it came
    status      TEXT   NOT NULL,
    memory      TEXT   NOT NULL,                  -- what was told of it, JSON
    wake_height BIGINT,                           -- the cursor at which it is deep enough
    PRIMARY KEY (network, tx, idx)
);
CREATE INDEX deposits_by_wallet ON deposits (wallet, credit_time, deposit);
CREATE INDEX deposits_by_time ON deposits (credit_time, deposit);
CREATE INDEX deposits_by_height ON deposits (network, height) WHERE height IS NOT NULL;
CREATE INDEX deposits_by_wake ON deposits (network, wake_height) WHERE wake_height IS NOT NULL;

-- The durable log of events.
CREATE TABLE events (
    position  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id        TEXT   NOT NULL UNIQUE,
    account   TEXT   NOT NULL,
    subject   TEXT   NOT NULL,
    intent    TEXT,
    sequence  BIGINT NOT NULL,
    type      TEXT   NOT NULL,
    timestamp BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    body      TEXT   NOT NULL,
    UNIQUE (account, subject, sequence)
);
CREATE INDEX events_by_intent ON events (account, intent, position);

-- Events on their way to endpoints: the outbox.
CREATE TABLE deliveries (
    id          TEXT   NOT NULL PRIMARY KEY,
    event       TEXT   NOT NULL,
    type        TEXT   NOT NULL,
    account     TEXT   NOT NULL,
    subject     TEXT   NOT NULL,
    intent      TEXT,
    sequence    BIGINT NOT NULL,
    endpoint    TEXT   NOT NULL,
    body        TEXT   NOT NULL,                  -- the same at every attempt
    state       TEXT   NOT NULL,                  -- waiting, in_flight, taken, dead, superseded
    passable    BIGINT NOT NULL DEFAULT 0,        -- 1: later events need not wait for it
    attempts    BIGINT NOT NULL DEFAULT 0,
    step        BIGINT NOT NULL DEFAULT 0,        -- its place in the retry schedule
    next_at     BIGINT NOT NULL,
    resume_at   BIGINT,                           -- its time by the schedule, once brought forward
    claim       TEXT,                             -- whoever holds it may record its outcome
    claim_until BIGINT,
    last_status BIGINT,
    last_error  TEXT,
    created_at  BIGINT NOT NULL,
    finished_at BIGINT,
    UNIQUE (event, endpoint)
);
CREATE INDEX deliveries_due ON deliveries (endpoint, next_at) WHERE state = 'waiting';
CREATE INDEX deliveries_claimed ON deliveries (claim_until) WHERE state = 'in_flight';
CREATE INDEX deliveries_dead ON deliveries (endpoint) WHERE state = 'dead';
CREATE INDEX deliveries_finished ON deliveries (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX deliveries_in_order ON deliveries (endpoint, account, subject, sequence);
CREATE INDEX deliveries_by_intent ON deliveries (account, intent);

CREATE TABLE attempts (
    delivery    TEXT   NOT NULL,
    number      BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    status_code BIGINT,
    latency_ms  BIGINT NOT NULL,
    error       TEXT,
    answer      TEXT,                             -- its first 4 KiB
    PRIMARY KEY (delivery, number)
);

-- Endpoints that asked not to be called (410), until an admin resumes them.
CREATE TABLE paused_endpoints (
    endpoint TEXT   NOT NULL PRIMARY KEY,
    since    BIGINT NOT NULL,
    reason   TEXT   NOT NULL
);

-- Ranges to be looked at again for watches that came later.
CREATE TABLE backfills (
    id          TEXT   NOT NULL PRIMARY KEY,
    network     TEXT   NOT NULL,
    intent      TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    from_time   BIGINT NOT NULL,
    next_height BIGINT,                           -- NULL until the height at from_time is known
    to_height   BIGINT                            -- NULL until a block was decoded with it
);
CREATE INDEX backfills_by_network ON backfills (network, version);
CREATE INDEX backfills_by_intent ON backfills (intent);

-- What happened to an intent, for people.
CREATE TABLE timeline (
    id         TEXT   NOT NULL PRIMARY KEY,
    intent     TEXT   NOT NULL,
    type       TEXT   NOT NULL,
    message    TEXT   NOT NULL,
    actor_type TEXT   NOT NULL,
    actor_name TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    data       TEXT   NOT NULL
);
CREATE INDEX timeline_by_intent ON timeline (intent, created_at);
