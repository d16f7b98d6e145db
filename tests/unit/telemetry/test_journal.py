"""The log of leases: which change makes a line, and that an outage makes two."""

import logging
import pathlib
import re

import pytest

from leaseholder.api.conditions import Reason
from leaseholder.changes import OUTAGES, Change, Kind
from leaseholder.telemetry import journal

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "operations.md"
Lines = list[tuple[str, str, str]]


class Book:
    """A journal on a clock that a test moves."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.now = 0.0
        self.journal = journal.LoggedJournal(lambda: self.now)
        self._caplog = caplog
        caplog.set_level(logging.DEBUG, logger="leaseholder")

    def tell(self, kind: Kind, uid: str, reason: Reason, **more: object) -> None:
        good = reason in (Reason.READY, Reason.SUSPENDED)
        change = Change(
            kind=kind,
            namespace="shop",
            name=uid,
            uid=uid,
            provider="LeaseProvider/bao",
            reason=reason,
            good=good,
        )
        self.journal.enter(Change(**{**_all(change), **more}))  # type: ignore[arg-type]

    def lines(self, level: int = logging.INFO) -> Lines:
        """Level, words and name of each line since the last time."""
        found = [
            (one.levelname, one.message, getattr(one, "fields").get("name", ""))  # noqa: B009
            for one in self._caplog.records
            if one.levelno >= level
        ]
        self._caplog.clear()
        return found


def _all(change: Change) -> dict[str, object]:
    return {name: getattr(change, name) for name in Change.__dataclass_fields__}


@pytest.fixture
def book(caplog: pytest.LogCaptureFixture) -> Book:
    return Book(caplog)


@pytest.mark.parametrize("reason", sorted(OUTAGES))
def test_an_outage_that_many_leases_meet_makes_two_lines(
    book: Book, reason: Reason, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(9):
        book.tell(Kind.READY, f"lease-{number}", reason, good=False)
    book.tell(Kind.PROVIDER_NOT_READY, "bao", reason)
    assert book.lines() == [("WARNING", journal.BEGAN, "lease-0")]
    book.now = 95.4
    book.tell(Kind.PROVIDER_READY, "bao", Reason.READY)
    for number in range(8):
        book.tell(Kind.READY, f"lease-{number}", Reason.READY)
    assert book.lines() == []
    book.tell(Kind.READY, "lease-8", Reason.READY)
    (line,) = [one for one in caplog.records if one.levelno >= logging.INFO]
    assert line.message == journal.ENDED
    assert line.fields == {  # type: ignore[attr-defined]
        "provider": "LeaseProvider/bao",
        "namespace": "shop",
        "lasted": "95s",
    }


def test_a_lease_that_an_outage_costs_has_lines_of_its_own(book: Book) -> None:
    book.tell(Kind.READY, "a", Reason.UNAVAILABLE, good=False)
    book.tell(Kind.READY, "b", Reason.UNAVAILABLE, good=False)
    book.tell(Kind.NOT_READY, "a", Reason.EXPIRED)
    assert book.lines() == [("WARNING", journal.BEGAN, "a"), ("WARNING", "not ready", "a")]
    book.tell(Kind.READY, "a", Reason.READY)
    book.tell(Kind.READY, "b", Reason.READY)
    assert book.lines() == [("INFO", "ready", "a"), ("INFO", journal.ENDED, "")]


def test_another_provider_has_an_outage_of_its_own(book: Book) -> None:
    book.tell(Kind.READY, "a", Reason.UNAVAILABLE, good=False)
    book.tell(Kind.READY, "b", Reason.UNAVAILABLE, good=False, provider="LeaseProvider/other")
    book.tell(Kind.READY, "c", Reason.UNAVAILABLE, good=False, namespace="billing")
    assert [name for _, _, name in book.lines()] == ["a", "b", "c"]


def test_who_is_gone_meets_no_outage_any_more(book: Book) -> None:
    book.tell(Kind.READY, "a", Reason.UNAVAILABLE, good=False)
    book.lines()
    book.journal.forget("a")
    assert book.lines() == [("INFO", journal.ENDED, "")]
    book.tell(Kind.READY, "b", Reason.UNAVAILABLE, good=False)
    assert book.lines() == [("WARNING", journal.BEGAN, "b")]


def test_a_revocation_that_an_outage_holds_up_makes_no_line_of_its_own(book: Book) -> None:
    for attempt in ("a-1", "a-2"):
        book.tell(Kind.REVOCATION_FAILED, "a", Reason.UNAVAILABLE, attempt=attempt)
    assert book.lines() == [("WARNING", journal.BEGAN, "a")]
    for attempt in ("a-1", "a-2"):
        book.tell(Kind.REVOKED, "a", Reason.DELETING, good=True, attempt=attempt)
    revoked = ("INFO", "lease revoked", "a")
    assert book.lines() == [revoked, revoked, ("INFO", journal.ENDED, "")]


@pytest.mark.parametrize("kind", [Kind.HELD_AGAIN, Kind.ORPHANED, None])
def test_a_lease_that_is_not_to_be_revoked_any_more_meets_no_outage(
    book: Book, kind: Kind | None
) -> None:
    """None: somebody let it go, and its DynamicLease is gone."""
    book.tell(Kind.REVOCATION_FAILED, "orders", Reason.UNREACHABLE, attempt="orders-1")
    assert book.lines() == [("WARNING", "outage began", "orders")]
    if kind is None:
        book.journal.forget("orders")
    else:
        book.tell(kind, "orders", Reason.READY, attempt="orders-1")
    assert ("INFO", "outage ended", "") in book.lines()


def test_a_revocation_that_is_refused_after_an_outage_meets_it_no_longer(book: Book) -> None:
    book.tell(Kind.REVOCATION_FAILED, "a", Reason.UNAVAILABLE, attempt="1")
    book.lines()
    book.tell(Kind.REVOCATION_FAILED, "a", Reason.FAILED_TO_DELETE, attempt="1")
    assert [words for _, words, _ in book.lines()] == [Kind.REVOCATION_FAILED, journal.ENDED]
    book.tell(Kind.READY, "a", Reason.UNAVAILABLE, good=False)
    assert book.lines() == [("WARNING", journal.BEGAN, "a")]


def test_any_other_bad_reason_is_a_warning_for_each_lease(book: Book) -> None:
    book.tell(Kind.NOT_READY, "a", Reason.LOGIN_REFUSED)
    book.tell(Kind.NOT_READY, "b", Reason.LOGIN_REFUSED)
    book.tell(Kind.READY, "a", Reason.READY)
    assert book.lines() == [
        ("WARNING", "not ready", "a"),
        ("WARNING", "not ready", "b"),
        ("INFO", "ready", "a"),
    ]


def test_the_documentation_lists_each_line_and_each_field() -> None:
    text = DOCS.read_text().partition("## Logs")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE)
    lines = [*Kind, journal.BEGAN, journal.ENDED]
    fields = [*journal.FIELDS, "lasted"]
    assert cells == [str(one) for one in lines] + fields
