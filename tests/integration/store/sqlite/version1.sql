-- As it was released, and never changed: test_schema.py makes files of it.
-- The store, version 1. Times are microseconds since 1970 (UTC) unless a comment says otherwise.
-- A canonical lower-case uuid lies here as 16 bytes with its time first (keys.py), anything else as its text.

CREATE TABLE orgs (
  id INTEGER PRIMARY KEY,            -- stands for the name in `events` and `known`
  name TEXT NOT NULL UNIQUE          -- as in the configuration
);

-- The log: one row for each event whose body is still held. Rows leave from the lowest `seq` on, never from between.
CREATE TABLE events (
  seq INTEGER PRIMARY KEY,           -- place in the log, from 1 without a gap; given by the writer
  org INTEGER NOT NULL,              -- orgs.id
  uuid BLOB NOT NULL,                -- Okta's id of the event, packed
  event_type TEXT NOT NULL,          -- Okta's dotted name
  published INTEGER NOT NULL,        -- when it happened, by Okta's clock
  received_at INTEGER NOT NULL,      -- when it reached us, by our clock
  via TEXT NOT NULL,                 -- the way it came: hook or log
  envelope_id BLOB NOT NULL,         -- Okta's `eventId` of the POST, packed; '' where there was none
  body BLOB NOT NULL                 -- the JSON object, byte for byte as received
);

-- What was ever stored, for as long as a late copy may come; outlives the bodies.
CREATE TABLE known (
  org INTEGER NOT NULL,              -- orgs.id
  uuid BLOB NOT NULL,                -- packed; its time comes first, so new rows land on one page
  since INTEGER NOT NULL,            -- when it was stored: seconds since 1970
  PRIMARY KEY (org, uuid)
) WITHOUT ROWID;

-- What cannot be counted from the other tables. One row.
CREATE TABLE counters (
  id INTEGER PRIMARY KEY CHECK (id = 1), -- there is only one row
  stored INTEGER NOT NULL,           -- events ever stored; also the last `seq` that was given
  duplicates INTEGER NOT NULL,       -- events that were known already
  rejected INTEGER NOT NULL          -- elements that were no event, and that are none to this day
);
INSERT INTO counters VALUES (1, 0, 0, 0);

-- How far each sink has come. For each row: stored = delivered + dead + discarded + skipped + waiting.
CREATE TABLE positions (
  sink TEXT PRIMARY KEY,             -- its name in the configuration
  seq INTEGER NOT NULL,              -- every event up to here is finished for this sink
  delivered INTEGER NOT NULL,        -- events that it has taken, replays included
  discarded INTEGER NOT NULL,        -- dead letters that an operator threw away
  skipped INTEGER NOT NULL,          -- events that it was never meant to get, or that had left before it came
  attached INTEGER NOT NULL          -- 1 while it is configured: only then it holds bodies back
) WITHOUT ROWID;

-- Events that a sink will never take, and elements that were no event (sink `receiver`). Each holds its own copy.
CREATE TABLE dead_letters (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- for the operator; never given twice
  sink TEXT NOT NULL,                -- who refused it
  seq INTEGER,                       -- its place in the log; NULL for the receiver's and for undisclosed ones
  state TEXT NOT NULL,               -- dead, or replaying: an operator sent it again
  count INTEGER NOT NULL,            -- 1; more where a sink refused that many without saying which
  reason TEXT NOT NULL,              -- core.outcome.RejectReason
  detail TEXT NOT NULL,              -- the sink's own words
  at INTEGER NOT NULL,               -- when it was refused last
  org TEXT NOT NULL,                 -- the org's name; '' where undisclosed
  uuid BLOB NOT NULL,                -- packed; '' where there is none
  event_type TEXT NOT NULL,          -- '' where there is none
  published INTEGER,                 -- NULL where there is none
  received_at INTEGER,               -- NULL where undisclosed
  via TEXT NOT NULL,                 -- '' where there is none
  envelope_id BLOB NOT NULL,         -- packed; '' where there was none
  body BLOB                          -- byte for byte as received; NULL where undisclosed: it cannot be sent again
);
-- Finds the replays of a sink in their order, and counts without touching a body.
CREATE INDEX dead_letters_by_state ON dead_letters (sink, state, id, count);
-- Finds the dead letter that a replay settles, and keeps a sink from refusing one event twice.
CREATE UNIQUE INDEX dead_letters_by_seq ON dead_letters (sink, seq);

-- Where a reader of another source goes on after a restart.
CREATE TABLE cursors (
  name TEXT PRIMARY KEY,             -- whose
  value TEXT NOT NULL                -- what it wrote
) WITHOUT ROWID;

-- Filled and emptied to find out whether the disk takes writes again.
CREATE TABLE probe (
  filler BLOB NOT NULL               -- worth nothing
);
