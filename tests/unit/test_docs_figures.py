"""Figures on the pages are the code's: how long, how many, how much."""

import datetime
import typing

import pytest

from leaseholder import app, circuit
from leaseholder.api import record
from leaseholder.controller import compare, loop, sweep
from leaseholder.core import (
    drift,
    election,
    obstacles,
    offline,
    replaced,
    rollout,
    schedule,
)
from leaseholder.providers.kit import accounts, json_documents, requests
from leaseholder.telemetry import auth, metrics, server
from tests import pages

WORDS: typing.Final = {
    1: "one",
    2: "two",
    3: "three",
    5: "five",
    10: "ten",
    15: "fifteen",
}
DAYS: typing.Final = {1: "a day"}
MIB: typing.Final = 2**20


def word(number: float) -> str:
    """A small number as pages write it."""
    return WORDS[round(number)]


def count(length: float | datetime.timedelta) -> int:
    """How many minutes a length has."""
    seconds = length.total_seconds() if isinstance(length, datetime.timedelta) else length
    assert seconds % 60 == 0
    return round(seconds) // 60


def minutes(length: float | datetime.timedelta) -> str:
    """A length as pages write it: ``ten minutes``."""
    return f"{word(count(length))} minutes"


OPERATIONS: typing.Final = (
    f"After a crash it waits for up to {election.DURATION:g} s",
    f"{election.DURATION:g} s after its last write, {election.DURATION + election.RETRY:g} s at",
    f"After {election.DEADLINE:g} s without a write the leader",
    f"namespace every {election.RETRY:g} seconds",
    f"Revocations are tried after {schedule.RETRY_FIRST:g} seconds",
    f"up to every {minutes(schedule.REVOKE_MOST)}; past the lease's end up to every hour",
    f"when due work waits for {minutes(app.STUCK)}",
    f"when for {count(app.SILENT)} minutes some watch",
    f"waits 2, 4, 8 … {drift.REPAIR_MOST:g} seconds",
    f"1, 2, 4 … {count(drift.WAIT_MOST)} minutes",
    f"If nobody changes the data for {minutes(drift.QUIET)}",
    f"After {word(circuit.OPEN_AFTER)} failures in a row",
    f"at least {circuit.FIRST:g} and at most {circuit.LONGEST:g} seconds",
    f"renewed from memory, for {DAYS[offline.LONGEST.days]} at most",
    f"Every {minutes(compare.INTERVAL)} a list makes up",
    f"within {minutes(sweep.FIRST)} of the operator's start",
    f"{minutes(sweep.AGAIN)} later it asks again",
    f"a lease of more than {minutes(replaced.DELIVERED_WITHIN)} counts",
)
GATHER: typing.Final = word(rollout.GATHER)
FIVE: typing.Final = word(obstacles.MOST_LIVE)
EACH: typing.Final = word(obstacles.PENDING_EACH)
ROWS: typing.Final = f"{json_documents.ROWS:,}"
CLAIMS: typing.Final = (
    *(("operations.md", one) for one in OPERATIONS),
    ("restarts.md", f"{GATHER.capitalize()} seconds later each target"),
    ("restarts.md", f"With {FIVE} leases the operator issues the next one only"),
    ("faq.md", f"new leases within {GATHER} seconds share a restart"),
    ("runbook.md", f'"may live" counts the {FIVE} leases'),
    ("runbook.md", f"{EACH} for each DynamicLease, and {obstacles.PENDING_MOST}"),
    ("runbook.md", f"its bounds: {record.MOST_LEASES} leases, {record.MOST_BYTES // MIB} MiB"),
    ("runbook.md", f"more than {record.MOST_IN_ALL} leases"),
    ("install.md", f"At most {server.MOST} connections are open at once"),
    ("install.md", f"for {server.LIFETIME:g} seconds each"),
    ("install.md", f"one of more than {auth.LONGEST} characters"),
    ("install.md", f"{auth.MOST_PER_SECOND} tokens in a second, or {auth.MOST_AT_ONCE} at once"),
    ("metrics.md", f"beyond its first {metrics.MOST_OF_NAMESPACE}"),
    ("security.md", f"all {loop.UNDER_WAY:,} places under way"),
    ("providers/phase.md", f"Up to {ROWS} leases and {requests.LONG_LIST // MIB} MiB"),
    ("providers/infisical.md", f"credentials after {accounts.LOCKOUT_WINDOW:g} seconds"),
    ("sizing.md", f"{obstacles.MOST_LIVE}: the one in the Secret"),
)


@pytest.mark.parametrize(("page", "claim"), CLAIMS, ids=lambda one: one[:60])
def test_a_figure_on_a_page_is_that_of_the_code(page: str, claim: str) -> None:
    assert claim in " ".join(pages.read(pages.DOCS / page).split())
