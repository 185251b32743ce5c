from pathlib import Path

import pytest

from forwarder.doctor.store import local_disk
from forwarder.safe_files import file_system_of

MOUNTS = """/dev/sda1 / ext4 rw,relatime 0 0
tmpfs /run tmpfs rw 0 0
server:/export /mnt/my\\040share nfs4 rw 0 0
/dev/sdb1 /mnt xfs rw 0 0
overlay / overlay rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/mnt/my share/store", "nfs4"), ("/mnt/store", "xfs"), ("/mnt/my shared", "xfs"), ("/var/lib", "overlay"), ("/run", "tmpfs")],
)  # fmt: skip
def test_the_file_system_of_a_path_is_that_of_its_deepest_and_latest_mount(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


def test_a_store_on_a_network_file_system_fails() -> None:
    finding = local_disk(Path("/mnt/share"), "nfs4")
    assert (finding.verdict, "local disk" in finding.fix) == ("fail", True)
    assert local_disk(Path("/var/lib"), "ext4").verdict == "ok"


@pytest.mark.parametrize("kind", ["tmpfs", "ramfs"])
def test_a_store_in_memory_fails_because_a_restart_of_the_machine_loses_it(kind: str) -> None:
    finding = local_disk(Path("/run/forwarder"), kind)
    assert (finding.verdict, "in memory" in finding.seen) == ("fail", True)
