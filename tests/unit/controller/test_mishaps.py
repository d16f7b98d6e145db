"""What a log says of an exception: never its text, unless it is our own sentence."""

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.controller import mishaps

CANARY = "hunter2-canary"


def test_our_own_errors_are_told_in_our_own_words() -> None:
    error = errors.Invalid(Reason.INVALID, "the ttl is too long")
    assert mishaps.described(error) == "InvalidRequest: the ttl is too long"


def test_of_an_unexpected_exception_type_and_place_are_told() -> None:
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        told = mishaps.described(error)
    assert told.startswith(f"unexpected ValueError at {__name__}:")
    assert CANARY not in told


def test_an_exception_that_was_never_raised_has_no_place() -> None:
    assert mishaps.described(KeyError(CANARY)) == "unexpected KeyError"


def test_of_a_group_each_exception_is_told() -> None:
    group = ExceptionGroup("two", [KeyError(CANARY), errors.Invalid(Reason.INVALID, "no")])
    assert mishaps.described(group) == "unexpected KeyError; InvalidRequest: no"
