-- The store, version 9; migrations.STEPS migrates older files. Times are microseconds since 1970 (UTC) unless a
-- comment says otherwise. A canonical lower-case uuid is encoded as 16 bytes with its time first
-- (encoded_uuid.py), anything else is text.

CREATE TABLE orgs (
  id INTEGER PRIMARY KEY,            -- replaces the name in other tables
  name TEXT NOT NULL UNIQUE          -- as in the configuration
);

-- The log: one row for each event whose body is held. Rows are dropped from the lowest `seq` on, so there is
-- never a hole.
CREATE TABLE events (
  seq INTEGER PRIMARY KEY,           -- position in the log, from 1 without a hole
  org INTEGER NOT NULL,              -- orgs.id
  uuid BLOB NOT NULL,                -- Okta's id of the event, encoded
  event_type TEXT NOT NULL,          -- Okta's dotted name
  published INTEGER NOT NULL,        -- when it happened, by Okta's clock
  received_at INTEGER NOT NULL,      -- when it reached us, by our clock
  via TEXT NOT NULL,                 -- its source: hook or log; alert for an alert of a rule, action for a reaction
  envelope_id BLOB NOT NULL,         -- Okta's `eventId` of the POST, encoded; '' if there was none
  body BLOB NOT NULL                 -- the JSON object, byte for byte as received
);

-- Ids of stored events, for as long as a late copy may arrive (`dedup_window`); they outlive the bodies.
CREATE TABLE known (
  org INTEGER NOT NULL,              -- orgs.id
  uuid BLOB NOT NULL,                -- encoded; the time comes first, so new rows land on one page
  since INTEGER NOT NULL,            -- when it was stored: seconds since 1970
  hook_copies INTEGER,               -- later copies by the hook; NULL for none
  log_copies INTEGER,                -- later copies by the System Log; NULL if it has not shown the event at all
  copied_at INTEGER,                 -- when the last of them came: seconds since 1970
  digest BLOB,                       -- of the first copy (core/event.py); NULL if an older version stored it
  differs INTEGER,                   -- 1 if the System Log has another event under this uuid; NULL if it showed none
  PRIMARY KEY (org, uuid)
) WITHOUT ROWID;

-- Pending and missed events: the System Log showed them first, although our hook should deliver them too. A
-- row is deleted when the hook delivers the event, at the latest with its row in `known`. The grace period
-- starts when the event happened or when the log showed it, whichever is later: when Okta's log is late, its
-- hook is late as well, and an event that is marked as missed too early is counted for good.
CREATE TABLE awaited (
  org INTEGER NOT NULL,              -- orgs.id
  uuid BLOB NOT NULL,                -- encoded
  event_type TEXT NOT NULL,          -- Okta's dotted name
  published INTEGER NOT NULL,        -- when it happened, by Okta's clock
  since INTEGER NOT NULL,            -- when the log showed it, by our clock
  missed_at INTEGER,                 -- when it was marked as missed; NULL while it is pending
  PRIMARY KEY (org, uuid)
) WITHOUT ROWID;
-- Finds pending events without reading missed ones.
CREATE INDEX awaited_by_since ON awaited (org, since) WHERE missed_at IS NULL;

-- The counts that cannot be computed from the other tables. There is one row.
CREATE TABLE counters (
  id INTEGER PRIMARY KEY CHECK (id = 1), -- there is only one row
  stored INTEGER NOT NULL,           -- events ever stored; also the last `seq`
  duplicates INTEGER NOT NULL,       -- copies of known events
  rejected INTEGER NOT NULL,         -- malformed events, without those that became events when read again
  alerts INTEGER NOT NULL DEFAULT 0, -- those of `stored` that are alerts
  actions INTEGER NOT NULL DEFAULT 0 -- those of `stored` that are events of actions
);
INSERT INTO counters VALUES (1, 0, 0, 0, 0, 0);

-- Which rows of `events` are alerts of rules.
CREATE TABLE alerts (
  seq INTEGER PRIMARY KEY            -- events.seq
);

-- The position of each sink. For each row: stored = delivered + dead + discarded + skipped + filtered + waiting.
CREATE TABLE positions (
  sink TEXT PRIMARY KEY,             -- its name in the configuration
  seq INTEGER NOT NULL,              -- every event up to here is finished
  delivered INTEGER NOT NULL,        -- events that the sink accepted, including replays
  discarded INTEGER NOT NULL,        -- dead letters that an operator removed
  skipped INTEGER NOT NULL,          -- events from before its start, or dropped while it was not attached
  attached INTEGER NOT NULL,         -- 1 while it is configured; only then bodies are kept for it
  filtered INTEGER NOT NULL DEFAULT 0 -- events that its settings exclude
) WITHOUT ROWID;

-- Which events of the log each sink has finished, and when. A row is dropped with the bodies of its events.
CREATE TABLE settlements (
  sink TEXT NOT NULL,                -- its name in the configuration
  last INTEGER NOT NULL,             -- the last event of the settlement
  first INTEGER NOT NULL,            -- the first one
  at INTEGER NOT NULL,               -- when it was committed
  skipped INTEGER NOT NULL,          -- 1 if the sink never gets these events
  filtered BLOB,                     -- a bit for each event that was filtered, the first in the lowest; NULL for none
  unattributed INTEGER NOT NULL,     -- the number of other events that the sink rejected without saying which ones
  PRIMARY KEY (sink, last)
) WITHOUT ROWID;

-- The places of events whose dead letters were removed. A row is dropped with the body of its event.
CREATE TABLE ended_letters (
  sink TEXT NOT NULL,                -- the sink that had rejected it
  seq INTEGER NOT NULL,              -- of the event
  place TEXT NOT NULL,               -- delivered, discarded or filtered
  at INTEGER NOT NULL,               -- when
  PRIMARY KEY (sink, seq)
) WITHOUT ROWID;

-- What the events of a block of the log can be searched by (event_index.py).
CREATE TABLE event_index (
  block INTEGER PRIMARY KEY,         -- has the events from block * 1024 + 1 on
  published_from INTEGER NOT NULL,   -- when the first of them happened
  published_to INTEGER NOT NULL,     -- when the last of them happened
  keys BLOB NOT NULL                 -- sorted hashes of 4 bytes; empty for a block that every search must read
);

-- Events that a sink rejected, and malformed events (sink `receiver`). Each has its own copy of the body.
CREATE TABLE dead_letters (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
  sink TEXT NOT NULL,                -- the sink that rejected it
  seq INTEGER,                       -- of the event; NULL for malformed and unattributed ones
  state TEXT NOT NULL,               -- dead, or replaying while it is sent again
  count INTEGER NOT NULL,            -- 1; more only if unattributed: the sink did not say which it rejected
  reason TEXT NOT NULL,              -- core.outcome.RejectReason
  detail TEXT NOT NULL,              -- the sink's message
  at INTEGER NOT NULL,               -- when it was last rejected
  org TEXT NOT NULL,                 -- the org's name; '' if unattributed
  uuid BLOB NOT NULL,                -- encoded; '' if there is none
  event_type TEXT NOT NULL,          -- '' if there is none
  published INTEGER,                 -- NULL if there is none
  received_at INTEGER,               -- NULL if unattributed
  via TEXT NOT NULL,                 -- its source: hook or log; '' if unattributed
  envelope_id BLOB NOT NULL,         -- encoded; '' if there was none
  body BLOB                          -- byte for byte as received; NULL if unattributed
);
-- Finds the replays of a sink in their order, and counts without touching a body.
CREATE INDEX dead_letters_by_state ON dead_letters (sink, state, id, count);
-- Finds the dead letter that a replay settles, and keeps a sink from rejecting one event twice.
CREATE UNIQUE INDEX dead_letters_by_seq ON dead_letters (sink, seq);

-- How far each source of events other than the hook was read, and other stored positions.
CREATE TABLE cursors (
  name TEXT PRIMARY KEY,             -- such as `log:acme`
  value TEXT NOT NULL                -- what the source stored
) WITHOUT ROWID;

-- What each user was seen with, such as countries and devices, for the rules (core/sighting.py). Old rows are dropped.
CREATE TABLE sightings (
  org INTEGER NOT NULL,              -- orgs.id
  user TEXT NOT NULL,                -- Okta's id
  kind TEXT NOT NULL,                -- user, country, asn, device, user_agent or places
  value TEXT NOT NULL,               -- the value; '' for user and places
  since INTEGER NOT NULL,            -- first seen, by Okta's clock
  last INTEGER NOT NULL,             -- last seen, by Okta's clock; not updated at each event
  data BLOB NOT NULL,                -- JSON of the last sign-ins for places; else empty
  PRIMARY KEY (org, user, kind, value)
) WITHOUT ROWID;

-- The counts of each rule in each hour (store/rule_counts.py). Old rows are dropped.
CREATE TABLE rule_hours (
  rule TEXT NOT NULL,                -- its id
  hour INTEGER NOT NULL,             -- hours since 1970, by our clock
  alerts INTEGER NOT NULL,           -- alerts stored
  by_exception INTEGER NOT NULL,     -- matches without an alert because of a configured exception
  by_again INTEGER NOT NULL,         -- matches without an alert because of `rules.again`
  last_alert INTEGER,                -- when the last alert was stored; NULL if there was none
  PRIMARY KEY (rule, hour)
) WITHOUT ROWID;

-- The actions of reactions (core/action.py). Actions that ended long ago are dropped.
CREATE TABLE actions (
  id INTEGER PRIMARY KEY,            -- in the order of planning, so that rows that are dropped together are neighbours
  key TEXT NOT NULL UNIQUE,          -- identifies the action; the same key is the same action
  planned_at INTEGER NOT NULL,       -- by our clock
  changed_at INTEGER NOT NULL,       -- when the row was last written, by our clock
  ended INTEGER NOT NULL,            -- 1 if the action cannot change any more
  action BLOB NOT NULL               -- JSON of the whole core.action.Action
);
-- Finds the actions that have not ended, and the newest and the oldest of the others.
CREATE INDEX actions_by_end ON actions (ended, planned_at);

-- The addresses from which each user did something that succeeded, for reactions (addresses.py). Old rows are dropped.
CREATE TABLE addresses (
  org INTEGER NOT NULL,              -- orgs.id
  address TEXT NOT NULL,             -- in the spelling of Python's ipaddress
  user TEXT NOT NULL,                -- Okta's id
  last INTEGER NOT NULL,             -- when the user last used it, by Okta's clock; not updated at each event
  PRIMARY KEY (org, address, user)
) WITHOUT ROWID;

-- A row is written and deleted here to check whether the disk accepts writes again.
CREATE TABLE probe (
  filler BLOB NOT NULL               -- zeros
);
