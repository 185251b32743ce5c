"""Every error of the forwarder.

ForwarderError
├── SettingsError            the configuration is wrong; lists every fault
├── NotAnEventError          an element of an envelope is no event
├── UnmappableError          an event cannot be turned into a document
├── BadRequestError          a POST that is no event hook; carries the status to answer
├── StoreError               the store cannot be used
│   ├── StoreLockedError     another forwarder uses this store
│   ├── StoreFormatError     the file is no store of ours, damaged, or of a newer version
│   ├── StoreFullError       no room: the disk or `max_size`
│   └── StoreTimeoutError    not committed in time
├── SinkError                a sink cannot be built or used as configured
├── SetupError               the other side cannot be prepared as asked
├── OktaError                Okta's API does not do what was asked
│   ├── OktaRefusedError     it answered, and refused; carries its status and its code
│   │   └── HookUnverifiedError  its challenge did not come back from the hook's address
│   └── OktaUnreachableError it did not answer, or not in time
└── RuleFileError            a file of detection rules, or one rule in it, cannot be read
"""


class ForwarderError(Exception):
    """Base of every error that the forwarder raises on purpose. Its text tells what, where and what to do."""


class SettingsError(ForwarderError):
    """The configuration is wrong.

    Attributes:
        problems: one line each: path, what is wrong, hint.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class NotAnEventError(ForwarderError):
    """An element of an envelope is no event."""


class UnmappableError(ForwarderError):
    """An event cannot be turned into a document; it becomes a dead letter with this text."""


class BadRequestError(ForwarderError):
    """A POST that is no event hook.

    Attributes:
        status: the HTTP status to answer: 400, 413 or 415.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class StoreError(ForwarderError):
    """The store cannot be used."""


class StoreLockedError(StoreError):
    """Another forwarder uses this store."""


class StoreFormatError(StoreError):
    """The file is no store of ours, damaged, or of a newer version. It is left as it is."""


class StoreFullError(StoreError):
    """No room: the disk is full, or events that sinks still wait for fill `store.max_size`."""


class StoreTimeoutError(StoreError):
    """Not committed in time; it may still be committed later."""


class SinkError(ForwarderError):
    """A sink cannot be built or used as configured."""


class RuleFileError(ForwarderError):
    """A file of detection rules, or one rule in it, cannot be read."""


class SetupError(ForwarderError):
    """The other side cannot be prepared as asked: a right, a feature or room for it is missing."""


class OktaError(ForwarderError):
    """Okta's API does not do what was asked."""


class OktaRefusedError(OktaError):
    """Okta answered, and refused.

    Attributes:
        status: of HTTP.
        code: Okta's `errorCode`, as in E0000006, or the `error` of its token endpoint; empty where it gave none.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class HookUnverifiedError(OktaRefusedError):
    """Okta's challenge did not come back from the hook's address, so Okta sends it nothing."""


class OktaUnreachableError(OktaError):
    """No answer, or not in time."""
