from pathlib import Path

import pytest
from pydantic import ValidationError

from forwarder.store.settings import StoreSettings


def test_sizes_and_times_have_the_promised_defaults() -> None:
    settings = StoreSettings(path=Path("x.db"))
    assert settings.max_size == 10 * 1024**3
    assert settings.retention == 7 * 86400
    assert settings.dedup_window == 30 * 86400


def test_a_size_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 1MiB"):
        StoreSettings.model_validate({"path": "x.db", "max_size": "1000KB"})


def test_a_file_name_that_leaves_no_room_for_the_suffixes_is_refused() -> None:
    assert StoreSettings(path=Path("x" * 80)).path
    with pytest.raises(ValidationError, match="at most 80 bytes"):
        StoreSettings(path=Path("x" * 81))
