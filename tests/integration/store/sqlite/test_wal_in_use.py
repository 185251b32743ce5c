from contextlib import closing
from pathlib import Path

import pytest
import structlog

from forwarder.core.ports import Batch
from forwarder.store.sqlite import schema
from tests.integration.store.helpers import event, opened
from tests.waiting import until


@pytest.mark.long
async def test_a_wal_that_a_reader_keeps_from_being_emptied_is_a_log_line_and_a_number(path: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        async with opened(path) as store:
            with closing(schema.connect_reader(path)) as looking:
                looking.execute("BEGIN")
                looking.execute("SELECT COUNT(*) FROM events").fetchone()
                await store.append(Batch([event()]), timeout=5)
                await until(lambda: "wal_in_use" in [line["action"] for line in lines], seconds=20)
                (line,) = lines
                assert line["path"] == str(path)
                assert line["bytes"] == (await store.ledger()).wal_bytes > 0
            await until(lambda: path.with_name("store.db-wal").stat().st_size == 0)
            assert (await store.ledger()).wal_bytes == 0
