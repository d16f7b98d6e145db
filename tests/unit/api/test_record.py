from typing import Any

import pydantic
import pytest

from leaseholder.api import names, record
from leaseholder.api.record import LeaseRecord, State


def body(**annotations: str) -> dict[str, Any]:
    """A record as a backup without status brings it back."""
    return {
        "metadata": {"name": "uid-3", "annotations": annotations},
        "spec": {
            "for": {"namespace": "shop", "name": "orders", "uid": "uid"},
            "installation": "cluster/leaseholder",
            "attemptId": "attempt",
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
        },
    }


def test_a_record_that_lost_its_status_knows_its_lease_by_its_annotations() -> None:
    notes = {names.LEASE_ID: "lease", names.EXPIRES_AT: "2026-11-21T13:00:00Z"}
    restored = LeaseRecord.model_validate(body(**notes))
    assert restored.state is State.HELD
    assert restored.status.lease_id == "lease"
    assert restored.status.expires_at is not None
    assert restored.status.expires_at.hour == 13
    assert restored.number == 3


def test_a_record_that_lost_its_status_before_its_mint_is_an_unclear_attempt() -> None:
    restored = LeaseRecord.model_validate(body())
    assert restored.state is State.ATTEMPT
    assert restored.status.lease_id == ""


def test_a_record_without_metadata_is_no_record() -> None:
    with pytest.raises(pydantic.ValidationError):
        LeaseRecord.model_validate({"metadata": None, "spec": body()["spec"]})
    with pytest.raises(pydantic.ValidationError):
        LeaseRecord.model_validate("record")


@pytest.mark.parametrize(("name", "number"), [("uid-7", 7), ("uid", 0), ("", 0), ("uid-x", 0)])
def test_a_records_number_is_the_end_of_its_name(name: str, number: int) -> None:
    assert record.number_of(name) == number
