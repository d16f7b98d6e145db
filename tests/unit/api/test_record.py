"""The record's shape: what is written back as it was read, and what its name is made of."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaseholder.api import base, names, record
from leaseholder.api.record import LeaseRecord, RecordedLease, State, Subject
from leaseholder.core import arrival

SUBJECT = Subject(namespace="shop", namespace_uid="uid-of-shop", name="orders")


def lease(attempt: str = "attempt", **more: Any) -> dict[str, Any]:
    """A lease on record as the API server has it."""
    return {
        "attemptId": attempt,
        "holderUid": "uid",
        "state": "Held",
        "provider": {
            "type": "infisical",
            "kind": "LeaseProvider",
            "name": "infisical",
            "uid": "provider",
            "address": "https://infisical.example",
        },
        "source": {},
        "sourceHash": "hash",
        "startedAt": "2026-11-21T12:00:00Z",
        "deadline": "2026-11-21T12:00:20Z",
        **more,
    }


def body(*leases: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A record as the API server has it."""
    subject = {"namespace": "shop", "namespaceUid": "uid-of-shop", "name": "orders"}
    return {
        "metadata": {"name": record.name_of("cluster/leaseholder", SUBJECT)},
        "spec": {"for": subject, "installation": "cluster/leaseholder", "leases": leases, **more},
    }


def test_what_a_newer_version_wrote_is_written_back() -> None:
    newer = lease(
        later={"deep": [1, {"x": "y"}]},
        revoke={"reason": "Superseded", "laterToo": True},
    )
    newer["provider"]["region"] = "eu"
    ended = {"attemptId": "old", "at": "2026-11-21T11:00:00Z", "why": "Confirmed", "by": "us"}
    known = LeaseRecord.model_validate(body(newer, ended=[ended], expired=[{"attemptId": "z"}]))
    held = known.leases[0].but(state=State.SUPERSEDED, expires_at=known.leases[0].started_at)
    written = known.spec.model_copy(update={"leases": (held,)}).dump()
    (one,) = written["leases"]
    assert one["state"] == "Superseded"
    assert one["expiresAt"] == "2026-11-21T12:00:00Z"
    assert one["later"] == {"deep": [1, {"x": "y"}]}
    assert one["revoke"]["laterToo"] is True
    assert one["provider"]["region"] == "eu"
    assert written["ended"] == [ended]
    assert written["expired"] == [{"attemptId": "z"}]


def test_a_lease_reads_back_as_it_was_written() -> None:
    first = RecordedLease.model_validate(lease(sealKey="k", notes={"a": 1}, handle={"b": 2}))
    assert RecordedLease.model_validate(first.dump()) == first
    assert first.noted == {"a": 1, "b": 2}


def test_leases_of_one_provider_share_it_and_what_is_long_is_read_all_the_same() -> None:
    one, other = (LeaseRecord.model_validate(body(lease(name))).leases[0] for name in "ab")
    assert one.provider is other.provider
    moved = lease("c")
    moved["provider"]["address"] = "https://elsewhere.example"
    assert LeaseRecord.model_validate(body(moved)).leases[0].provider != one.provider
    moved["provider"]["options"] = {"namespace": "n" * 4096}
    (long,) = LeaseRecord.model_validate(body(moved)).leases
    assert long.provider.options == moved["provider"]["options"]
    moved["provider"]["options"] = {"namespace": "\ud800"}
    (odd,) = LeaseRecord.model_validate(body(moved)).leases
    assert odd.provider.options == moved["provider"]["options"]


def test_however_many_providers_there_are_each_lease_has_its_own() -> None:
    for number in range(1000):
        one = lease("a")
        one["provider"]["uid"] = str(number)
        (read,) = LeaseRecord.model_validate(body(one)).leases
        assert read.provider.uid == str(number)


def test_what_the_answer_notes_goes_over_what_was_noted_before() -> None:
    read = RecordedLease.model_validate(lease(notes={"a": 1}, handle={"a": 2}))
    assert read.noted == {"a": 2}


def test_two_leases_of_one_attempt_are_no_record() -> None:
    with pytest.raises(pydantic.ValidationError, match="one attempt id"):
        LeaseRecord.model_validate(body(lease("a"), lease("b"), lease("a")))


def test_a_record_without_leases_or_with_a_null_list_is_empty() -> None:
    assert LeaseRecord.model_validate(body()).leases == ()
    assert LeaseRecord.model_validate(body(leases=None)).leases == ()


def test_more_leases_fit_than_are_put_on_it_so_that_some_can_be_put_back() -> None:
    many = [lease(f"a-{number}") for number in range(24)]
    assert len(LeaseRecord.model_validate(body(*many)).leases) == 24 > record.MOST_LEASES
    with pytest.raises(pydantic.ValidationError):
        LeaseRecord.model_validate(body(*many, lease("one-more")))


def test_a_lease_is_found_by_its_attempt_and_so_is_one_that_ended() -> None:
    over = {"attemptId": "over", "at": "2026-11-21T11:00:00Z", "why": "NotFound"}
    known = LeaseRecord.model_validate(body(lease("a"), lease("b"), ended=[over]))
    found = known.lease("b")
    assert found is not None
    assert found.attempt_id == "b"
    assert known.lease("over") is None
    assert (known.names_ended("over"), known.names_ended("a")) == (True, False)


def test_a_record_of_an_older_shape_or_without_metadata_is_no_record() -> None:
    older = body()
    del older["spec"]["for"]
    for wrong in (older, {"metadata": None, "spec": body()["spec"]}, "record"):
        with pytest.raises(pydantic.ValidationError):
            LeaseRecord.model_validate(wrong)


@given(
    namespace=st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True),
    name=st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", fullmatch=True),
)
def test_a_records_name_is_a_valid_name_and_says_whose_it_is(namespace: str, name: str) -> None:
    subject = Subject(namespace=namespace, namespace_uid="u", name=name)
    made = record.name_of("here", subject)
    text, _, digest = made.rpartition(".")
    assert len(made) <= 253
    assert len(digest) == 20
    assert f"{namespace}.{name}".startswith(text)
    assert text[-1] not in ".-"


def test_another_installation_namespace_or_name_has_another_record() -> None:
    made_again = SUBJECT.model_copy(update={"namespace_uid": "another"})
    other = SUBJECT.model_copy(update={"name": "orders2"})
    found = {
        record.name_of("here", SUBJECT),
        record.name_of("elsewhere", SUBJECT),
        record.name_of("here", made_again),
        record.name_of("here", other),
    }
    assert len(found) == 4
    assert record.name_of("here", SUBJECT) == record.name_of("here", SUBJECT.model_copy())


def test_trusts_are_named_by_what_they_say() -> None:
    one, same = {"caBundle": "x", "kind": "y"}, {"kind": "y", "caBundle": "x"}
    assert record.trust_key(one) == record.trust_key(same) != record.trust_key({"caBundle": "z"})
    assert record.trust_key({}) == ""


def test_each_slot_of_the_leases_has_a_label() -> None:
    leases = [RecordedLease.model_validate(lease(f"a-{s}", slot=s)) for s in ("", "x", "y")]
    assert record.slot_labels(leases) == {f"{names.SLOT}/x": "", f"{names.SLOT}/y": ""}


def test_only_what_is_to_be_revoked_is_pending() -> None:
    assert [state for state in State if state.pending] == [State.REVOKING, State.ABANDONED]


def test_a_lease_that_is_over_goes_with_its_trust_and_is_named() -> None:
    now = LeaseRecord.model_validate(body(lease())).leases[0].started_at
    mine, theirs = lease("mine", leaseId="id-of-mine"), lease("theirs")
    mine["provider"]["trust"], theirs["provider"]["trust"] = "a", "b"
    trusts = {"a": {"caBundle": "A"}, "b": {"caBundle": "B"}}
    spec = LeaseRecord.model_validate(body(mine, theirs, trusts=trusts)).spec
    after = record.without(spec, "mine", "Forgotten", now)
    assert [one.attempt_id for one in after.leases] == ["theirs"]
    assert after.trusts == {"b": {"caBundle": "B"}}
    assert [(one.attempt_id, one.at, one.why) for one in after.ended] == [
        ("mine", now, "Forgotten")
    ]
    assert after.ended[0].lease_id == "id-of-mine"  # else a sweep finds it lost
    assert record.without(spec, "mine", "Confirmed", now).ended[0].lease_id is None
    for number in range(40):
        after = record.without(after, f"gone-{number}", "Confirmed", now)
    assert len(after.ended) == record.MOST_ENDED
    assert after.ended[-1].attempt_id == "gone-39"


SIZES = st.lists(st.integers(0, 40), max_size=18)


@settings(deadline=None, max_examples=25)
@given(there=st.integers(1, 16), sizes=SIZES)
def test_so_many_leases_have_room_as_the_record_fits_with(there: int, sizes: list[int]) -> None:
    """A text of 4,096 characters is the longest that a tenant may write; "<" takes six bytes."""

    def sized(number: int, texts: int) -> RecordedLease:
        source = {f"text-{one}": "<" * 4096 for one in range(texts)}
        return RecordedLease.model_validate(lease(f"attempt-{number}", source=source))

    known = tuple(sized(number, 0) for number in range(there))
    more = [sized(100 + number, texts) for number, texts in enumerate(sizes)]
    spec = LeaseRecord.model_validate(body()).spec.model_copy(update={"leases": known})
    found = arrival.room_for(spec, more)

    def fits(number: int) -> bool:
        return arrival.has_room(spec.model_copy(update={"leases": (*known, *more[:number])}))

    assert fits(found)
    assert found == len(more) or not fits(found + 1)


def test_of_what_ended_that_is_remembered_longest_which_may_live_on() -> None:
    now = datetime(2026, 11, 27, 12, tzinfo=UTC)
    later = now + timedelta(hours=1)
    spec = LeaseRecord.model_validate(body(lease("let-go"))).spec
    after = record.without(spec, "let-go", "Orphaned", now, until=later)
    for number in range(40):
        after = record.without(
            after.model_copy(update={"leases": (RecordedLease.model_validate(lease("gone")),)}),
            "gone",
            "Confirmed",
            now + timedelta(seconds=number),
        )
    assert (len(after.ended), after.ended[-1].attempt_id) == (record.MOST_ENDED, "let-go")
    kept = LeaseRecord(metadata=base.ObjectMeta(name="a"), spec=after).kept_until
    assert kept == later
    assert LeaseRecord(metadata=base.ObjectMeta(name="a"), spec=spec).kept_until is None
