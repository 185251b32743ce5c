"""The SQL statements that migrate a store of an older version to the newest version (schema.sql)."""

from collections.abc import Sequence

STEPS: Sequence[str] = (
    """
    CREATE TABLE awaited (
      org INTEGER NOT NULL,
      uuid BLOB NOT NULL,
      event_type TEXT NOT NULL,
      published INTEGER NOT NULL,
      since INTEGER NOT NULL,
      missed_at INTEGER,
      PRIMARY KEY (org, uuid)
    ) WITHOUT ROWID;
    CREATE INDEX awaited_by_since ON awaited (org, since) WHERE missed_at IS NULL;
    UPDATE dead_letters SET via = 'hook' WHERE sink = 'receiver'
    """,
    "ALTER TABLE positions ADD COLUMN filtered INTEGER NOT NULL DEFAULT 0",
    """
    ALTER TABLE counters ADD COLUMN alerts INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE alerts (seq INTEGER PRIMARY KEY)
    """,
    """
    CREATE TABLE settlements (
      sink TEXT NOT NULL, last INTEGER NOT NULL, first INTEGER NOT NULL, at INTEGER NOT NULL,
      skipped INTEGER NOT NULL, filtered BLOB, unattributed INTEGER NOT NULL, PRIMARY KEY (sink, last)
    ) WITHOUT ROWID;
    CREATE TABLE ended_letters (
      sink TEXT NOT NULL, seq INTEGER NOT NULL, place TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (sink, seq)
    ) WITHOUT ROWID;
    CREATE TABLE event_index (
      block INTEGER PRIMARY KEY, published_from INTEGER NOT NULL, published_to INTEGER NOT NULL, keys BLOB NOT NULL
    );
    ALTER TABLE known ADD COLUMN hook_copies INTEGER;
    ALTER TABLE known ADD COLUMN log_copies INTEGER;
    ALTER TABLE known ADD COLUMN copied_at INTEGER
    """,
    """
    CREATE TABLE sightings (
      org INTEGER NOT NULL, user TEXT NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL,
      since INTEGER NOT NULL, last INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (org, user, kind, value)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE rule_hours (
      rule TEXT NOT NULL, hour INTEGER NOT NULL, alerts INTEGER NOT NULL, by_exception INTEGER NOT NULL,
      by_again INTEGER NOT NULL, last_alert INTEGER, PRIMARY KEY (rule, hour)
    ) WITHOUT ROWID;
    INSERT INTO rule_hours
    SELECT json_extract(CAST(body AS TEXT), '$.forwarder.alert.rule.id') AS rule, received_at / 3600000000,
      COUNT(*), 0, 0, MAX(received_at)
    FROM alerts CROSS JOIN events USING (seq) WHERE json_valid(CAST(body AS TEXT)) AND rule IS NOT NULL
    GROUP BY 1, 2
    """,
    # The index of the last 7 days is deleted, so that the indexer builds it again. It then also records the addresses
    # of these events.
    """
    ALTER TABLE counters ADD COLUMN actions INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE actions (
      id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, planned_at INTEGER NOT NULL, changed_at INTEGER NOT NULL,
      ended INTEGER NOT NULL, action BLOB NOT NULL
    );
    CREATE INDEX actions_by_end ON actions (ended, planned_at);
    CREATE TABLE addresses (
      org INTEGER NOT NULL, address TEXT NOT NULL, user TEXT NOT NULL, last INTEGER NOT NULL,
      PRIMARY KEY (org, address, user)
    ) WITHOUT ROWID;
    DELETE FROM event_index WHERE block >= (
      SELECT MIN(block) FROM event_index WHERE published_to >= (strftime('%s', 'now') - 7 * 86400) * 1000000
    )
    """,
    """
    ALTER TABLE known ADD COLUMN digest BLOB;
    ALTER TABLE known ADD COLUMN differs INTEGER
    """,
)
"""The first step migrates version 1 to version 2, the second step version 2 to version 3, and so on. Each step runs in
one transaction. A step that was released must never be changed, because some stores have run it already."""
