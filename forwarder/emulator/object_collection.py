"""The base class of the collections of an org's objects, such as its zones."""

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from forwarder.emulator.http.errors import not_found

_T = TypeVar("_T")


class Objects(Generic[_T]):
    """The objects of one kind, in the order of creation. `kind` is the name of the kind in Okta's errors."""

    kind: ClassVar[str]

    def __init__(self) -> None:
        self._by_id: dict[str, _T] = {}

    def all(self) -> Sequence[_T]:
        """Return every object."""
        return tuple(self._by_id.values())

    def find(self, object_id: str) -> _T:
        """Return the object with this id; raise OktaApiError if there is none."""
        try:
            return self._by_id[object_id]
        except KeyError:
            raise not_found(f"{object_id} ({self.kind})") from None
