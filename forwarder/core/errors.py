"""The exceptions that are raised in one package and caught in another, or that an operator sees. An exception that only
one package uses is defined in that package."""


class ForwarderError(Exception):
    """The base class of all exceptions that the forwarder raises on purpose. The text says what failed, where, and what
    to do."""


class SettingsError(ForwarderError):
    """The configuration has problems. Each item of `problems` is one line with the path of the setting, the problem,
    and a hint."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class NotAnEventError(ForwarderError):
    """An element of a POST from Okta, or of a page of the System Log, is malformed: it is not an event."""


class JsonStructureError(ForwarderError):
    """A text from Okta does not contain the JSON list that it must contain, so no event of the text can be read."""


class UnmappableError(ForwarderError):
    """An event cannot be converted to a document for a sink. The event becomes a dead letter with the text of this
    error."""


class BadRequestError(ForwarderError):
    """The body of a POST cannot be read as the body of an event hook. `status` is the HTTP status of the forwarder's
    response: 400, 413 or 415."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class StoreError(ForwarderError):
    """The store cannot be used."""


class StoreLockedError(StoreError):
    """Another process has opened the store, so this process must not use it."""


class StoreMovedError(StoreError):
    """The store's files were moved, removed, replaced, overwritten, truncated or made read-only while they were
    open."""


class StoreFormatError(StoreError):
    """The file of the store is not a store, is damaged, or was written by a newer version of the forwarder. The file
    was not changed."""


class StoreVersionError(StoreFormatError):
    """The store was written by an older or a newer version of the forwarder. The file was not changed.

    Attributes:
        seen: which version the store has, and which one is needed.
        advice: what to do.
    """

    def __init__(self, seen: str, advice: str) -> None:
        super().__init__(f"{seen}; {advice}. The file is left as it is.")
        self.seen, self.advice = seen, advice


class StoreFullError(StoreError):
    """The disk is full, or `store.max_size` is filled with events that some sinks have not received yet."""


class StoreTooSmallError(StoreFullError):
    """A batch is too large for `store.max_size`. It would not fit even if every sink had received all stored events."""


class StoreTimeoutError(StoreError):
    """A batch was not committed in time. The batch may still be committed later."""


class SinkError(ForwarderError):
    """A sink cannot be built or used with its settings."""


class RuleFileError(ForwarderError):
    """A file of detection rules, or one rule in it, cannot be read."""


class ReactionError(ForwarderError):
    """The forwarder cannot change an action in the way that an operator asked for."""


class SetupError(ForwarderError):
    """The command `setup` cannot prepare a server, for example because a permission, a feature or disk space is
    missing."""


class OktaError(ForwarderError):
    """A call of Okta's API failed. Each subclass stands for one kind of failure."""


class OktaRefusedError(OktaError):
    """Okta refused a call with the HTTP status `status`.

    `code` is Okta's `errorCode`, such as E0000006, or the `error` of Okta's token endpoint; empty if the response has
    neither. `hint` is the part of the message that says what to do; empty if the message has no such part.
    """

    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.hint = hint


class HookUnverifiedError(OktaRefusedError):
    """Okta refused to verify a hook, because the hook's URL did not return Okta's challenge. Okta sends no events to
    this URL."""


class OktaUnreachableError(OktaError):
    """Okta did not respond at all, or did not respond in time."""
