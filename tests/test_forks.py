"""The plugin with which `make unit` runs its tests."""

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_INI = """
[pytest]
asyncio_default_fixture_loop_scope = function
addopts = -q -p no:faker -p no:cacheprovider -p tests.forks --forks=2
"""
_TESTS = """
import os, signal, pytest

processes = set()

@pytest.fixture(scope="session")
def session():
    yield
    assert len(processes) == 1

@pytest.mark.parametrize("number", range(50))
def test_fine(number, session, tmp_path):
    processes.add(os.getpid())
"""


def _run(folder: Path, more: str, *arguments: str) -> tuple[int, str]:
    (folder / "pytest.ini").write_text(_INI)
    (folder / "test_it.py").write_text(_TESTS + more)
    command = [sys.executable, "-m", "pytest", f"--rootdir={folder}", "-c", f"{folder}/pytest.ini", str(folder)]
    found = subprocess.run(
        [*command, *arguments], cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return found.returncode, found.stdout


@pytest.mark.long
def test_every_test_runs_once_and_its_report_is_as_without_forks(tmp_path: Path) -> None:
    more = """
def test_wrong():
    print("printed")
    assert 1 == 2

def test_skipped():
    pytest.skip("why")
"""
    code, text = _run(tmp_path, more)
    assert code == 1
    assert "1 failed, 50 passed, 1 skipped in" in text
    assert "assert 1 == 2" in text
    assert "printed" in text


@pytest.mark.long
def test_after_as_many_failures_as_allowed_no_more_tests_begin(tmp_path: Path) -> None:
    more = """
@pytest.mark.parametrize("number", range(1000))
def test_wrong(number):
    assert 0
"""
    code, text = _run(tmp_path, more, "-x")
    assert code == 1
    assert "!! stopping after " in text
    assert "1000 failed" not in text


@pytest.mark.long
@pytest.mark.parametrize("signal", ["SIGSEGV", "SIGKILL"])
def test_a_test_that_ends_its_process_fails_the_run_and_is_named(tmp_path: Path, signal: str) -> None:
    code, text = _run(tmp_path, f"def test_crash(): os.kill(os.getpid(), signal.{signal})")
    assert code == 1
    assert "before test_it.py::test_crash had ended" in text
    assert "50 passed in" in text


@pytest.mark.long
def test_what_is_left_behind_fails_the_run(tmp_path: Path) -> None:
    more = """
def test_left():
    class Left:
        def __del__(self):
            raise ValueError

    left = Left()
    left.itself = left
"""
    code, text = _run(tmp_path, more, "-W", "error")
    assert code == 1
    assert "a fork ended with 1" in text
    assert "ValueError" in text


@pytest.mark.long
def test_a_test_that_hangs_is_ended_and_named(tmp_path: Path) -> None:
    more = """
import time

@pytest.mark.timeout(0.1)
def test_hanging():
    time.sleep(60)
"""
    code, text = _run(tmp_path, more)
    assert code == 1
    assert "1 failed, 50 passed in" in text
    assert "Failed: Timeout" in text


@pytest.mark.long
def test_a_test_that_hangs_after_its_timeout_is_killed_and_the_place_is_printed(tmp_path: Path) -> None:
    more = """
import threading

@pytest.fixture
def joined():
    thread = threading.Thread(target=threading.Event().wait)
    thread.start()
    yield
    thread.join()

@pytest.mark.timeout(0.1)
def test_hanging(joined):
    threading.Event().wait()
"""
    code, text = _run(tmp_path, more, "--hung=1")
    assert code == 1
    assert "before test_it.py::test_hanging had ended" in text
    assert "50 passed in" in text
    assert "in joined" in text


@pytest.mark.long
def test_with_whole_groups_all_tests_of_a_name_run_in_one_process(tmp_path: Path) -> None:
    more = """
@pytest.mark.one_process("apart")
@pytest.mark.parametrize("number", range(60))
def test_apart(number, pytestconfig):
    (pytestconfig.rootpath / f"process{os.getpid()}").touch()
"""
    (tmp_path / "test_other.py").write_text(f"import os, pytest\n{more}")
    code, text = _run(tmp_path, more, "--whole-groups")
    assert code == 0
    assert "170 passed" in text
    assert len(list(tmp_path.glob("process*"))) == 1


@pytest.mark.long
def test_an_interrupt_ends_what_a_test_has_started(tmp_path: Path) -> None:
    more = """
import time

@pytest.fixture
def server(pytestconfig):
    (pytestconfig.rootpath / "started").touch()
    yield
    (pytestconfig.rootpath / "ended").touch()

def test_waits(server):
    for _ in range(6):  # Python drops an exception that a signal raises in a destructor
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(5)
"""
    code, text = _run(tmp_path, more)
    assert code == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in text
    assert (tmp_path / "ended").exists()
