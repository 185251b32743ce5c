from forwarder.core import errors


def test_every_problem_of_a_configuration_is_in_the_text() -> None:
    error = errors.SettingsError(["a: wrong", "b: wrong too"])
    assert str(error) == "a: wrong\nb: wrong too"
