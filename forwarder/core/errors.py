"""The errors that cross packages or reach an operator. An error inside one package is defined there."""


class ForwarderError(Exception):
    """The base of all errors that the forwarder raises on purpose. The text says what failed, where, and what to do."""


class SettingsError(ForwarderError):
    """The configuration has problems. Each of `problems` is one line: the path of the setting, what is wrong, and a
    hint."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class NotAnEventError(ForwarderError):
    """An element of an envelope or page is malformed."""


class JsonStructureError(ForwarderError):
    """A text lacks the JSON list that it must have. (An invalid element of the list is a NotAnEventError.)"""


class UnmappableError(ForwarderError):
    """No document can be made from an event. The event becomes a dead letter with the text of this error."""


class BadRequestError(ForwarderError):
    """A POST is not an event hook. `status` is the HTTP status of the forwarder's response: 400, 413 or 415."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class StoreError(ForwarderError):
    """The store cannot be used."""


class StoreLockedError(StoreError):
    """Another forwarder uses this store."""


class StoreMovedError(StoreError):
    """The store's files were moved, removed, replaced, overwritten or truncated while they were open."""


class StoreFormatError(StoreError):
    """The file is not a store, is damaged, or is from a newer version. The file was not changed."""


class StoreFullError(StoreError):
    """The disk is full, or events that sinks have not received yet fill `store.max_size`."""


class StoreTooSmallError(StoreFullError):
    """A batch is too large for `store.max_size`, even if every sink has received all stored events."""


class StoreTimeoutError(StoreError):
    """A batch was not committed in time. It may still be committed later."""


class SinkError(ForwarderError):
    """A sink cannot be built or used as configured."""


class RuleFileError(ForwarderError):
    """A file of detection rules, or one rule in it, cannot be read."""


class ReactionError(ForwarderError):
    """An action cannot be changed as an operator asked."""


class SetupError(ForwarderError):
    """`setup` cannot prepare the other system, for example because a permission, a feature or space is missing."""


class OktaError(ForwarderError):
    """A call of Okta's API failed."""


class OktaRefusedError(OktaError):
    """Okta refused a call with the HTTP status `status`.

    `code` is Okta's `errorCode`, such as E0000006, or the `error` of its token endpoint; empty if the response has
    neither. `hint` is the part of the message that says what to do.
    """

    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.hint = hint


class HookUnverifiedError(OktaRefusedError):
    """The hook's URL did not return Okta's challenge, so Okta sends no events to this URL."""


class OktaUnreachableError(OktaError):
    """Okta did not respond at all, or did not respond in time."""


class OktaTooLargeError(OktaError):
    """Okta's response is larger than the maximum that the forwarder reads into memory."""
