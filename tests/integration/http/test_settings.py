from pathlib import Path

import pytest

from forwarder.core.errors import SettingsError
from forwarder.http.settings import TlsSettings, tls_context
from tests.certificates import Certificate, make_certificate


def test_tls_files_that_cannot_be_used_are_a_clear_fault(certificate: Certificate, tmp_path: Path) -> None:
    one, two = certificate, make_certificate(tmp_path, "two")
    locked = make_certificate(tmp_path, "locked", "-passout", "pass:secret")
    (tmp_path / "junk").write_text("junk")
    assert tls_context(TlsSettings(cert=one.cert, key=one.key)).minimum_version.name == "TLSv1_2"
    for cert, key, what in [
        (tmp_path / "absent", one.key, "receiver.tls.cert: there is no file"),
        (one.cert, tmp_path / "absent", "receiver.tls.key: there is no file"),
        (one.cert, two.key, "receiver.tls.key: "),
        (tmp_path / "junk", one.key, "receiver.tls.cert: "),
        (locked.cert, locked.key, "receiver.tls.key: "),
        (tmp_path, one.key, "receiver.tls.cert: "),
    ]:
        with pytest.raises(SettingsError) as caught:
            tls_context(TlsSettings(cert=cert, key=key))
        assert caught.value.problems[0].startswith(what)
        assert str(tmp_path) in caught.value.problems[0]
