import inspect
import re

from forwarder.core import errors


def test_the_drawing_shows_every_error_below_its_parent() -> None:
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.search(r"\w+Error", line)
        if match:
            depth = match.start() // 4
            path[depth:] = [match[0]]
            drawn[match[0]] = path[depth - 1] if depth else "Exception"
    real = {
        name: cls.__bases__[0].__name__
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if cls.__module__ == errors.__name__
    }
    assert drawn == real


def test_every_problem_of_a_configuration_is_in_the_text() -> None:
    error = errors.SettingsError(["a: wrong", "b: wrong too"])
    assert str(error) == "a: wrong\nb: wrong too"
