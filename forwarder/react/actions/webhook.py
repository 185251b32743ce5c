"""Sends signed webhooks, by the specification Standard Webhooks: each webhook has an id, a timestamp, and an HMAC over
the id, the timestamp and the body.

The receiver's side is in docs/reactions-receivers.md. This module does not use the library `standardwebhooks`, because
the library signs with only one key, and reads any key as base64. The tests verify signatures with the library.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from forwarder.core.ports import Clock
from forwarder.core.time import SECOND, Micros
from forwarder.react.actions.poster import Poster, Posters, PostServer, usual_hint
from forwarder.react.ports import NOT_CONFIGURED, Answer
from forwarder.react.settings.receivers import WebhookSettings, webhook_keys

_REFUSED = "compare `secret` on both sides, and both clocks: a receiver refuses webhooks older than 5 minutes"


def _hint(status: int, body: object) -> str:
    return _REFUSED if status in {400, 401, 403} else usual_hint(status, body)


def payload(alert: bytes, about: Mapping[str, Any] | None = None) -> bytes:
    """Return the body of a webhook: the alert as it is stored. If `about` is given, its keys are added to the alert's
    object `forwarder`.

    `about` describes something that came after the alert, such as an action that waits for approval.
    """
    if not about:
        return alert
    decoded = msgspec.json.decode(alert)
    return msgspec.json.encode(decoded | {"forwarder": {**decoded.get("forwarder", {}), **about}})


def signed(message_id: str, at: Micros, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """Return the headers of Standard Webhooks for `body`, with one signature for each of `keys`. The receiver accepts the
    webhook if one of the signatures is right."""
    seconds = str(at // SECOND)
    content = b".".join((message_id.encode(), seconds.encode(), body))
    digests = (hmac.new(key, content, hashlib.sha256).digest() for key in keys)
    signatures = " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
    return {"webhook-id": message_id, "webhook-timestamp": seconds, "webhook-signature": signatures}


class Webhooks(Posters):
    """Sends webhooks to the receivers in the configuration. A reload of the configuration makes a new object."""

    def __init__(self, settings: Mapping[str, WebhookSettings], clock: Clock) -> None:
        """Prepare to send to the receivers in `settings`.

        Raises:
            SettingsError: a `ca_file` cannot be used.
        """
        self._clock = clock
        super().__init__()
        self._keys: dict[str, tuple[bytes, ...]] = {}
        for name, one in settings.items():
            url, shown = one.address
            server = PostServer(url, f"reactions.webhooks.{name}.url", one.timeout, shown, one.ca_file)
            self._posters[name] = Poster(server, clock)
            secrets = (secret for secret in (one.secret, one.previous_secret) if secret)
            self._keys[name] = tuple(key for secret in secrets for key in webhook_keys(secret))

    async def send(self, name: str, message_id: str, body: bytes) -> Answer:
        """Send `body` once to the receiver `name`, and return the answer. An error of the receiver is also an answer,
        not an exception.

        `message_id` must be ASCII without `.`. If a webhook is sent again, `message_id` must be the same as before, so
        that the receiver recognises the repetition.
        """
        if name not in self._posters:
            text = f"reactions.webhooks has no {name} any more; add it, or take it out of `do`"
            return Answer(0, code=NOT_CONFIGURED, text=text, sent=False)
        headers = signed(message_id, self._clock.now(), body, self._keys[name])
        return await self._posters[name].post("application/json", body, headers, _hint)
