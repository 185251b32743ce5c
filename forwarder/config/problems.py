"""Turns each of pydantic's errors into a line for an operator: path, problem, hint."""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from forwarder.config.error_texts import plain
from forwarder.config.file import ENV_PREFIX

_NAMES = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
Name = Annotated[str, StringConstraints(pattern=_NAMES)]
"""A name that the operator chooses. It becomes a metric label, a log field and a key in the store."""

_ABOUT_A_KEY = re.compile(r"`(\w+)`:? (?!and |or )")
"""Matches the beginning of an error text about a section, if only one key is wrong: the text then begins with this
key."""
_ANY_NAME = re.compile(r"[A-Za-z0-9_.-]{0,200}")  # also matches event types
_KEY = re.compile(r"[A-Za-z_. -]{0,40}")  # no key of the configuration has a digit

_OTHER_NAMES = {
    "basic_auth": "auth http_passwd http_user user",
    "batch_events": "batch_size bulk_max_size max_events",
    "cert": "certificate cert_file crt",
    "ca_file": "cacert certificate_authorities ssl tls",
    "endpoint": "hosts uri url",
    "except": "exclude",
    "hosts": "cloud_id endpoint endpoints nodes url",
    "key": "private_key key_file",
    "listen": "address bind endpoint host port",
    "namespace": "data_stream index",
    "only": "include",
    "orgs": "inputs sources",
    "path": "data_dir file",
    "poll": "interval",
    "private_key": "client_secret jwk",
    "sinks": "destinations exporters outputs",
    "store": "buffer data_dir queue storage",
    "uri": "url",
    "url": "domain okta_domain orgurl",
    "verify_certificate": "insecure insecure_skip_verify ssl_verify tls_verify",
}
"""The names that other forwarders and Okta's clients use for a key, by our name of the key."""

_MOST_PLACES = 4  # of sections in a hint; a longer list would not help

_NOT_A_SECTION = {"model_type", "model_attributes_type", "union_tag_not_found"}
"""The types of pydantic's errors about a value that should be a section, and is not."""

_NAME = "a name has letters, digits, `.`, `_` and `-`, at most 63, and starts with a letter or digit"


class Describer:
    """Describes pydantic's errors about the configuration in words for operators.

    `model` is the class of the whole configuration. `kinds` has the model of each kind of sink, by the name of the
    kind. Pydantic puts this name into the path of an error. The name is left out of the path that the operator sees,
    because it is not a key of the file.
    """

    def __init__(self, model: type[BaseModel], kinds: Mapping[str, type[BaseModel]]) -> None:
        self._model = model
        self._kinds = kinds

    def describe(self, errors: Iterable[Any]) -> list[str]:
        """Return a line for each of pydantic's `errors`. No line shows a value that may be a secret."""
        lines = (self._without_name(error) or self._line(error) for error in causes(errors))
        return list(dict.fromkeys(lines))

    def _without_name(self, error: Any) -> str | None:
        """Return the line for a key that lacks the name above it, such as `orgs.url` in place of `orgs.acme.url`.

        Return None if `error` has another cause.
        """
        loc, kind = error["loc"], error["type"]
        for end in (len(loc), len(loc) - 1)[: 1 + (kind == "extra_forbidden")]:
            holder, key = loc[: end - 1], loc[end - 1]
            for section in self._named_sections(holder):
                field = _field(section, (key,))
                below = loc[end:]
                if field and (
                    (kind in _NOT_A_SECTION and not below)
                    or (below and (_is_named(field) or below[0] in _keys(_section_of(field))))
                ):
                    place, _ = self._locate(holder)
                    return (
                        f"{place}.{key}: this key belongs to `{place}.NAME`; write a name of your choice below `{holder[-1]}`, "
                        "and write this key below that name, indented"
                    )
        return None

    def _named_sections(self, loc: tuple[Any, ...]) -> list[Any]:
        """Return the classes of the sections in the mapping at `loc`, if its keys are names that the operator chooses,
        as in `orgs`. Otherwise return an empty list."""
        field = _field(self._section(loc[:-1]), loc[-1:])
        if field is None or not _is_named(field):
            return []
        return list(self._kinds.values()) if loc == ("sinks",) else [_section_of(field)]

    def _line(self, error: Any) -> str:
        path, section = self._locate(error["loc"])
        kind = error["type"]
        if kind == "extra_forbidden":
            *_, key = error["loc"]
            path = path.removesuffix(_name_in(str(key), _ANY_NAME)) + _name_in(str(key), _KEY)
            return f"{path}: unknown key; {self._hint(error['loc'], _keys(section))}"
        if kind in {"union_tag_not_found", "union_tag_invalid"}:
            must = "is required; write" if kind == "union_tag_not_found" else "must be"
            return f"{path}.kind: {must} one of {', '.join(sorted(self._kinds))}"
        if kind == "string_pattern_mismatch" and (error["loc"][-1] == "[key]" or error["ctx"]["pattern"] == _NAMES):
            return f"{path}: {_NAME}"
        words = plain(error, _field(section, error["loc"]))
        begin = _ABOUT_A_KEY.match(words)
        if begin and begin[1] in _keys(self._section(error["loc"])):
            return f"{path}.{begin[1]}: {words[begin.end() :]}"
        return f"{path}: {words}"

    def _hint(self, loc: tuple[Any, ...], siblings: list[str]) -> str:
        """Return a hint about an unknown key: the key that was probably meant, the section to which the key belongs, or
        `siblings`, the keys that its section has."""
        key = str(loc[-1])
        if ":" in key:
            return "write a space after the colon"
        snake = re.sub(r"(?<=[a-z])(?=[A-Z])|[- .]", "_", key).lower()
        near = difflib.get_close_matches(snake, siblings, n=1, cutoff=0.8)
        near = near or [known for known in siblings if snake.startswith(known) or (snake and known.startswith(snake))]
        near = near or [known for known in siblings if snake in _OTHER_NAMES.get(known, "").split()]
        if not near and (belongs := self._belongs(loc)):
            *others, last = belongs
            named = len(loc) == 1 and any(place.endswith(".NAME`") for place in belongs)
            choice = "; NAME is a name of your choice" if named else ""
            return f"it belongs to {', '.join(others)}{' or ' * bool(others)}{last}{choice}"
        near = near or difflib.get_close_matches(snake, siblings, n=1, cutoff=0.67 if len(key) > 4 else 0.6)
        return f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(sorted(siblings)) or 'none'}"

    def _belongs(self, loc: tuple[Any, ...]) -> list[str]:
        """Return the sections to which the last key of `loc` belongs; empty if no section has it, or more than four.

        A key below the top level can belong to the top level, or to sections within the same top-level section.
        """
        kinds = [kind for kind, model in self._kinds.items() if loc[-1] in _keys(model)]
        if len(loc) == 4 and loc[0] == "sinks" and kinds:
            return [f"a sink of kind {' or '.join(kinds)}"]
        places = {place for known, place in _places(self._model, self._kinds) if known == loc[-1]}
        if "" in places:
            return ["the top level; check its indentation"]
        near = sorted(place for place in places if len(loc) == 1 or place.partition(".")[0] == loc[0])
        return [f"`{place}`" for place in near] if len(near) <= _MOST_PLACES else []

    def _locate(self, loc: tuple[Any, ...]) -> tuple[str, Any]:
        """Return (path, section): pydantic's `loc` as a path that the operator recognizes, and the section of its last
        key."""
        path = ""
        # The name of a header may be a secret; that of an org or a sink is not.
        is_whole = loc[-1] == "[key]" and bool(self._named_sections(loc[:-2]))
        for n, part in enumerate(loc):
            if part == "[key]" or (n == 2 and loc[0] == "sinks" and part in self._kinds):
                continue
            text = (str(part) if is_whole else _name_in(str(part), _ANY_NAME)) or '""'
            path += f"[{part}]" if isinstance(part, int) else f".{text}" if path else text
        return path, self._section(loc[:-1])

    def _section(self, loc: tuple[Any, ...]) -> Any:
        """Return the section at `loc`, such as the section `orgs.acme`; None if `loc` leads to a single value."""
        model: Any = self._model
        for part in loc:
            if loc[0] == "sinks" and part in self._kinds:
                model = self._kinds[part]
            elif _is_section(model) and part in model.model_fields:
                model = _section_of(model.model_fields[part])
        return model


def with_variable(line: str) -> str:
    """Return the line of a problem. If an environment variable sets the value, append the name of the variable."""
    path = line.partition(": ")[0].lower().replace("[", ".").replace('""', "") + "."
    for name in sorted(os.environ):
        place = name[len(ENV_PREFIX) :].lower().replace("__", ".")
        if name.upper().startswith(ENV_PREFIX) and (
            path.startswith(f"{place}.")
            or (re.search(": unknown key; |: write a list|: a mapping is not", line) and f"{place}.".startswith(path))
        ):
            hint = "; here as JSON" if re.search(": write (a list|keys)", line) else ""
            return f"{line}{hint} (set by {name})"
    return line


def _name_in(key: str, name: re.Pattern[str]) -> str:
    """Return `key`, cut where it no longer matches the pattern `name`: the rest may be a secret in the wrong place."""
    known = name.match(key)
    return key if known is None or known[0] == key else f"{known[0]}…"


def _keys(section: Any) -> list[str]:
    """Return the keys of a section, as the operator writes them."""
    if not _is_section(section):
        return []
    return [field.alias or name for name, field in section.model_fields.items()]


def _places(
    model: Any, kinds: Mapping[str, Any], path: str = "", above: tuple[Any, ...] = ()
) -> Iterator[tuple[str, str]]:
    """Yield (key, path of the section that has the key) for each key of `model` and of the sections in it.

    `path` is the path of `model`, and `above` has the classes of the sections around it.
    """
    for name, field in model.model_fields.items():
        key = field.alias or name
        yield key, path
        inner = kinds.values() if (path, key) == ("", "sinks") else [_section_of(field)]
        place = f"{path}.{key}" if path else key
        many = _is_named(field)
        for section in inner:
            if _is_section(section) and section not in above:
                yield from _places(section, kinds, f"{place}.NAME" if many else place, (*above, section))


def _field(section: Any, loc: tuple[Any, ...]) -> FieldInfo | None:
    """Return the field of `section` that contains the value at `loc`; None if `section` has no such field."""
    if not _is_section(section):
        return None
    names = {field.alias or name: field for name, field in section.model_fields.items()}
    return next((names[part] for part in reversed(loc) if part in names), None)


def causes(errors: Iterable[Any]) -> list[Any]:
    """Return pydantic's `errors`, without the errors that only follow from another error."""
    errors = list(errors)
    return [error for error in errors if not _follows(error, errors)]


def _follows(error: Any, errors: Iterable[Any]) -> bool:
    """Whether `error` only follows from other `errors`: a list is too short only because some of its items are
    invalid."""
    loc = error["loc"]
    return error["type"] == "too_short" and any(
        len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in errors
    )


def _is_named(field: FieldInfo) -> bool:
    """Whether `field` is a mapping whose keys are names that the operator chooses, such as `orgs`."""
    return "dict[" in str(field.annotation)


def _is_section(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, BaseModel)


def _section_of(field: FieldInfo) -> Any:
    """Return the class of the section in `field`, or in the items of its list or mapping; None if it has no section."""
    candidates: list[Any] = [field.annotation]
    while candidates:
        candidate = candidates.pop()
        if _is_section(candidate):
            return candidate
        candidates.extend(getattr(candidate, "__args__", ()))
    return None
