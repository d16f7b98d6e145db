"""The time line of leases: what happened, what is planned, drawn on the terminal and as SVG."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from xml.etree import ElementTree

import pytest

from leaseholder.api import lease
from leaseholder.cli import drawing, session, story
from leaseholder.cli.event import Event
from leaseholder.cluster import client

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOURCE = {"projectSlug": "p", "environmentSlug": "e", "dynamicSecretName": "d"}
PRESENT = {
    "attempt": "u-2",
    "id": "new",
    "issuedAt": "2026-01-01T11:20:00Z",
    "expiresAt": "2026-01-01T13:00:00Z",
    "renewAt": "2026-01-01T12:39:00Z",
    "renewals": 0,
    "strategy": "Renew",
}
WIDTH = 40


def at(minutes: int) -> datetime:
    """So many minutes from the present lease's issue."""
    return datetime(2026, 1, 1, 11, 20, tzinfo=UTC) + timedelta(minutes=minutes)


def dl(*, held: Any = PRESENT, conditions: Any = (), **rotation: Any) -> lease.DynamicLease:
    spec = {"providerRef": {"name": "infisical"}, "infisical": SOURCE, "rotation": rotation}
    return lease.DynamicLease.model_validate(
        {
            "metadata": {"namespace": "shop", "name": "orders", "uid": "u"},
            "spec": spec,
            "status": {"lease": held, "conditions": conditions},
        }
    )


class Written:
    """An API server with an event that somebody wrote."""

    endpoint = None

    async def pages(self, *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
        yield {"items": [{"type": "x" * 10**6, "reason": "y" * 10**6, "message": "z " * 10**6}]}


@pytest.mark.asyncio
async def test_an_event_of_somebody_else_is_no_longer_than_one_of_the_operator_s() -> None:
    user = session.Session(cast("client.Api", Written()), "shop")
    (found,) = await user.events(dl())
    assert [len(one) for one in (found.type, found.reason, found.message)] == [1024] * 3


def event(reason: str, message: str, minutes: int) -> Event:
    return Event("Normal", reason, message, 1, at(minutes))


ISSUED = event("LeaseIssued", "issued lease old", -60)
AGAIN = event("LeaseIssued", "issued lease new: leaseholder.dev/rotate says so", 0)
REVOKED = event("LeaseRevoked", "lease old is revoked: the provider confirms that it is gone", 10)


def words(known: lease.DynamicLease, *events: Event, now: datetime = NOON) -> list[str]:
    return [f"{one.what}@{one.at:%H:%M}" for one in story.marks(known, events, now)]


def test_a_rotated_lease_s_life_is_told_from_its_first_issue_to_its_end() -> None:
    told = words(dl(maxAge="4h"), ISSUED, AGAIN, REVOKED)
    assert told == [
        *("issued@10:20", "issued@11:20", "revoked@11:30", "now@12:00"),
        *("renew@12:39", "ends@13:00", "replace@15:20"),
    ]


def test_an_issue_whose_event_is_forgotten_stands_in_status() -> None:
    assert words(dl()) == ["issued@11:20", "now@12:00", "renew@12:39", "ends@13:00"]


def test_of_two_leases_of_one_second_the_one_that_is_held_came_last() -> None:
    same = event("LeaseIssued", "issued lease old", 0)
    told = [one.text for one in story.marks(dl(), [AGAIN, same], NOON) if one.what == "issued"]
    assert told == [same.message, AGAIN.message]
    assert [one.lease_id for one in story.spans(dl(), [AGAIN, same], NOON)] == ["old", "new"]


def test_of_one_second_the_issue_comes_first_and_now_last() -> None:
    moved = {
        "type": "RolloutComplete",
        "status": "True",
        "reason": "RolloutComplete",
        "lastTransitionTime": "2026-01-01T11:20:00Z",
    }
    told = words(dl(conditions=[moved]), AGAIN, now=at(0))
    assert told[:3] == ["issued@11:20", "rolled out@11:20", "now@11:20"]


def test_before_the_first_lease_there_is_nothing_but_now() -> None:
    assert words(dl(held=None)) == ["now@12:00"]
    assert story.spans(dl(held=None), [ISSUED], NOON) == []
    assert story.drawn([], None, NOON, WIDTH) == []


def test_a_replaced_lease_lives_on_for_its_overlap_at_least() -> None:
    marks = story.marks(dl(overlap="1h"), [ISSUED, AGAIN], NOON)
    (overlap,) = (one for one in marks if one.what == "overlap")
    assert (overlap.at, "lease old" in overlap.text) == (at(60), True)
    assert "overlap@12:20" not in words(dl(overlap="1h"), ISSUED, AGAIN, REVOKED)


def test_a_rollout_that_is_complete_is_a_moment() -> None:
    moved = {
        "type": "RolloutComplete",
        "status": "True",
        "reason": "RolloutComplete",
        "lastTransitionTime": "2026-01-01T11:25:00Z",
    }
    assert "rolled out@11:25" in words(dl(conditions=[moved]))


def test_events_about_other_things_are_not_in_the_time_line() -> None:
    assert not story.is_of_a_lease(event("ProviderMissing", "lease x", 0))
    assert words(dl(), event("ProviderMissing", "lease x", 1)) == words(dl())


LIVES: Any = [
    (-5, ["[#------------------------------|--------]"]),
    (50, ["[====================#----------|--------]"]),
    (79, ["[===============================#--------]"]),
    (100, ["[===============================|=======#]"]),
    (300, ["[===============================|=======#]"]),
]


@pytest.mark.parametrize(("minutes", "lines"), LIVES)
def test_a_lease_s_life_is_a_line_from_its_issue_to_its_end(minutes: int, lines: list[str]) -> None:
    known = story.spans(dl(), [], NOON)
    assert story.drawn(known, at(79), at(minutes), WIDTH) == lines


def test_a_replaced_lease_is_a_line_above_the_present_one_on_the_same_axis() -> None:
    known = story.spans(dl(), [ISSUED, AGAIN, REVOKED], NOON)
    assert story.drawn(known, at(79), at(50), WIDTH) == [
        "[==============~~~                       ]",
        "[             =============#-------|-----]",
    ]


def test_a_lease_without_any_life_is_drawn_all_the_same() -> None:
    brief = {**PRESENT, "expiresAt": PRESENT["issuedAt"], "renewAt": None}
    known = story.spans(dl(held=brief), [], NOON)
    assert [len(line) for line in story.drawn(known, None, NOON, WIDTH)] == [WIDTH + 2]
    assert ElementTree.fromstring(drawing.picture("x", known, [], NOON)) is not None


def test_events_without_a_moment_or_a_lease_are_left_out() -> None:
    odd = [Event("Normal", "LeaseIssued", "nothing", 1, None), event("LeaseIssued", "", -50)]
    assert [one.lease_id for one in story.spans(dl(), odd, NOON)] == ["", "new"]
    assert "now@12:00" in words(dl(), *odd)


def test_many_replaced_leases_are_not_all_drawn() -> None:
    many = [event("LeaseIssued", f"issued lease {n}", -100 + n) for n in range(50)]
    assert len(story.spans(dl(), many, NOON)) == 5


def test_the_picture_has_each_lease_and_what_is_planned_and_no_text_of_others_as_markup() -> None:
    evil = '</text><script>alert("x")</script>\x1b[2J&'
    known = [*story.spans(dl(), [event("LeaseIssued", f"issued lease {evil}", -60)], NOON)]
    marks = story.marks(dl(), [], NOON)
    drawn = drawing.picture(f"DynamicLease {evil}", known, marks, NOON)
    root = ElementTree.fromstring(drawn)
    kinds = [one.tag.rpartition("}")[2] for one in root.iter()]
    assert "script" not in kinds
    assert (kinds.count("line"), kinds.count("rect")) == (6, 4), "a line for each lease"
    texts = " ".join(one.text or "" for one in root.iter() if one.tag.endswith("text"))
    assert "lease new" in texts
    assert "renew 12:39:00Z" in texts
    assert "\x1b" not in drawn


def test_no_label_of_the_picture_is_written_over_another() -> None:
    held = {**PRESENT, "renewAt": "2026-01-01T12:01:00Z"}
    held["expiresAt"] = "2026-01-01T12:02:00Z"
    known = story.spans(dl(held=held), [], NOON)
    drawn = ElementTree.fromstring(
        drawing.picture("x", known, story.marks(dl(held=held), [], NOON), NOON)
    )
    labels = [one for one in drawn.iter() if one.tag.endswith("text")][2:]
    assert {(one.text or "").split()[0] for one in labels} == {"now", "renew", "ends"}
    assert len({one.get("y") for one in labels}) == 3
    height = float((drawn.get("viewBox") or "").split()[3])
    assert max(float(one.get("y") or 0) for one in labels) < height
