"""The error texts of refused calls."""

import json
import time

import pytest

from forwarder.okta.api import errors

CALL = ("GET", "https://acme.okta.test", "/api/v1/logs")


@pytest.mark.parametrize("page", [b"<html>not found</html>", b'{"status_code":404,"detail":"Not Found"}', b""])
def test_a_404_of_another_server_points_to_the_url_of_the_org(page: bytes) -> None:
    text = str(errors.refused(CALL, errors.read_error(404, page, {}), app=False))
    assert "(404" in text
    assert "A server that is not Okta answered; set the org's `url`" in text


def test_a_404_of_okta_says_what_okta_says() -> None:
    page = b'{"errorCode":"E0000007","errorSummary":"Not found: who1"}'
    text = str(errors.refused(CALL, errors.read_error(404, page, {}), app=False))
    assert text.endswith("(404 E0000007: Not found: who1)")


def test_a_refused_dpop_proof_points_to_the_clock() -> None:
    page = b'{"error":"invalid_dpop_proof","error_description":"The \'iat\' claim is too old."}'
    text = str(errors.refused(CALL, errors.read_error(400, page, {}), app=True))
    assert "(400 invalid_dpop_proof: The 'iat' claim is too old.)" in text
    assert "Check that the clock of this machine is right" in text


def test_an_endless_error_text_of_okta_is_shortened_and_shows_no_secret() -> None:
    causes = [{"errorSummary": "-eyJ" * 1_000}] * 100
    page = {"errorCode": "E" * 10_000, "errorId": "i" * 10_000, "errorSummary": "token=1 SSWS 00abcDEF12"}
    began = time.process_time()
    refused = errors.read_error(401, json.dumps(page | {"errorCauses": causes}).encode(), {})
    assert time.process_time() - began < 0.25
    assert refused.summary.startswith("token=1 ***; -eyJ")
    assert max(map(len, (refused.code, refused.error_id, refused.summary))) == 1_000
