"""What ``records`` says of the leases on record, and what of them it keeps to itself."""

import json
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from leaseholder.api.conditions import Reason
from leaseholder.api.record import LeaseRecord, RecordedLease, State
from leaseholder.cli import main, records
from tests.unit.core import views

NOW = views.at(0)


def page(*leases: RecordedLease, name: str = "orders") -> LeaseRecord:
    spec: dict[str, Any] = {
        "for": {"namespace": "shop", "namespaceUid": "u", "name": name},
        "installation": "here",
        "leases": [one.dump() for one in leases],
    }
    meta = {"name": f"shop.{name}.0", "namespace": "leaseholder"}
    return LeaseRecord.model_validate({"metadata": meta, "spec": spec})


@pytest.mark.parametrize(
    ("lease", "told"),
    [
        (views.record(), ""),
        (views.attempt(), "asked for 1m 0s ago, not answered yet"),
        (views.superseded(until=120), "replaced; lives for 2m 0s more at least"),
        (views.superseded(until=-1), "replaced; it waits until workloads have moved"),
        (views.pending(since=views.at(-240)), "to be revoked since 4m 0s (Superseded)"),
        (
            views.pending(
                reason=Reason.DELETING,
                attempts=3,
                last_reason=Reason.AUTH_GONE,
                next_at=views.at(90),
            ),
            "to be revoked (Deleting), tried 3 times, the last try met AuthGone, the next is due "
            "in 1m 30s",
        ),
        (
            views.record(state=State.ABANDONED),
            "given up: see to it at the provider, then kubectl leaseholder forget",
        ),
    ],
)
def test_each_lease_says_what_is_going_on_with_it(lease: RecordedLease, told: str) -> None:
    assert records.message(lease, NOW) == told


def test_a_row_says_whose_the_lease_is_where_it_was_issued_and_the_attempt_to_forget() -> None:
    (row,) = records.rows_of(page(views.record(3, expires=3540)), NOW)
    assert dict(zip(records.COLUMNS, row, strict=True)) == {
        "OPERATOR": "leaseholder",
        "NAMESPACE": "shop",
        "NAME": "orders",
        "PROVIDER": "infisical",
        "STATE": "Held",
        "LEFT": "59m 0s",
        "ATTEMPT": "attempt-3",
        "MESSAGE": "",
    }


def test_the_last_line_counts_leases_by_their_state() -> None:
    known = [page(views.record(1), views.superseded(2)), page(views.record(3), name="b"), page()]
    assert records.summary(known, "leaseholder") == (
        "3 LeaseRecords in namespace leaseholder with 3 leases: 2 Held, 1 Superseded."
    )
    assert records.summary([], "") == "0 LeaseRecords with 0 leases."


def test_programs_get_no_seal_key_and_no_notes_of_an_adapter() -> None:
    noted = views.pending(since=NOW - timedelta(minutes=1)).but(
        notes={"user": "v-orders"}, handle={"accessor": "acc"}
    )
    (lease,) = records.values_of(page(noted))["leases"]
    assert lease["revocation"]["since"] == "2026-01-01T11:59:00Z"
    assert lease["provider"]["address"] == "https://infisical.example"
    text = json.dumps(lease)
    assert not [one for one in (noted.seal_key, "v-orders", "acc") if one in text]
    assert records.values_of(page(views.record()))["leases"][0]["revocation"] is None


def test_without_an_api_server_a_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    done = CliRunner().invoke(main.main, ["records"])
    assert done.exit_code == 1
    assert "set KUBECONFIG" in done.stderr
