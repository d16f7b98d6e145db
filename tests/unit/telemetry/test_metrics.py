"""Metrics: what is counted under which name."""

from datetime import UTC, datetime

from leaseholder.api.record import Holder
from leaseholder.telemetry.metrics import Metrics

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def holder(uid: str) -> Holder:
    return Holder(namespace="shop", name="orders", uid=uid)


def lines(metrics: Metrics, name: str) -> list[str]:
    return [one for one in metrics.exposition().decode().splitlines() if one.startswith(name)]


def test_a_namesake_has_one_expiry_and_not_two() -> None:
    metrics = Metrics()
    metrics.observed(holder("old"), (), NOON, True)
    metrics.observed(holder("new"), (), NOON, True)
    assert len(lines(metrics, "leaseholder_lease_expiry_timestamp_seconds{")) == 1


def test_what_is_forgotten_is_counted_no_more() -> None:
    metrics = Metrics()
    metrics.observed(holder("one"), (), NOON, True)
    assert 'leaseholder_dynamic_leases{ready="true"} 1.0' in lines(metrics, "leaseholder_dyn")
    metrics.forget(holder("one"))
    assert 'leaseholder_dynamic_leases{ready="true"} 0.0' in lines(metrics, "leaseholder_dyn")


def test_outcomes_are_counted_by_reason() -> None:
    metrics = Metrics()
    metrics.minted("ok")
    metrics.renewed("LeaseGone")
    metrics.revoked("AuthGone")
    metrics.late(0.5)
    assert 'leaseholder_mints_total{outcome="ok"} 1.0' in lines(metrics, "leaseholder_mints")
    assert 'leaseholder_renewals_total{outcome="LeaseGone"} 1.0' in lines(
        metrics, "leaseholder_renewals"
    )
    assert 'leaseholder_revocations_total{outcome="AuthGone"} 1.0' in lines(
        metrics, "leaseholder_revocations"
    )
    assert "leaseholder_lateness_seconds_count 1.0" in lines(metrics, "leaseholder_lateness")


def test_open_circuits_are_counted_by_address() -> None:
    metrics = Metrics()
    for is_open in (True, True, False):
        metrics.provider_circuit("https://infisical.test", is_open)
    (told,) = lines(metrics, "leaseholder_provider_circuits_open{")
    assert told == 'leaseholder_provider_circuits_open{address="https://infisical.test"} 1.0'


def test_an_address_is_no_label_any_more_when_all_circuits_there_are_closed() -> None:
    metrics = Metrics()
    for number in range(1000):
        for is_open in (True, False, False):
            metrics.provider_circuit(f"https://rogue-{number}.test", is_open)
    assert lines(metrics, "leaseholder_provider_circuits_open{") == []
