"""Metrics: what is counted under which name, and what is left of what is gone."""

import asyncio
import functools
import gc
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as open_parser

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.api.record import Holder, State
from leaseholder.ports.meter import Figures
from leaseholder.ports.provider import Reading
from leaseholder.providers.kit import failures
from leaseholder.telemetry import catalogue, exposition
from leaseholder.telemetry.metrics import MOST_OF_NAMESPACE, Metrics

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
INFISICAL = ("LeaseProvider", "shop", "infisical")
LABELS = 'provider="infisical",provider_kind="LeaseProvider",provider_namespace="shop"'


def holder(name: str = "orders", uid: str = "uid") -> Holder:
    return Holder(namespace="shop", name=name, uid=uid)


def figures(*states: State, ready: bool | None = True, **more: object) -> Figures:
    leases = tuple((f"record-{n}", state, INFISICAL) for n, state in enumerate(states))
    known = {"now": NOON, "expires_at": NOON, "renews_at": NOON, "issued_at": NOON, **more}
    return Figures(ready=ready, reason=Reason.READY, leases=leases, **known)  # type: ignore[arg-type]


def text(metrics: Metrics, kind: str = exposition.TEXT) -> str:
    return exposition.render(metrics.snapshot(), kind).decode()


def series(metrics: Metrics) -> dict[str, float]:
    """Value by name and labels, these in the order of the alphabet."""
    found = {}
    for family in parser.text_string_to_metric_families(text(metrics)):
        for sample in family.samples:
            labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}"
            assert key not in found
            found[key] = sample.value
    return found


def of(metrics: Metrics, part: str) -> list[str]:
    return [one for one in series(metrics) if part in one]


class Connections:
    """What an adapter has; it lives as long as the test holds it."""

    def __init__(self, circuit_open: bool, budget_used: float | None = None) -> None:
        self.now = Reading(circuit_open, budget_used, -7)

    def reading(self) -> Reading:
        return self.now


CONNECTIONS = Connections(circuit_open=False, budget_used=0.5)


def test_a_dynamic_lease_has_its_readiness_and_its_moments_by_name() -> None:
    metrics = Metrics(wall=NOON.timestamp)
    metrics.observed(holder(), figures(State.HELD))
    found, at = series(metrics), NOON.timestamp()
    where = 'name="orders",namespace="shop"'
    assert found[f'leaseholder_dynamic_lease_ready{{{where},reason="Ready"}}'] == 1
    for moment in ("expiry", "renewal", "issue"):
        assert found[f"leaseholder_dynamic_lease_{moment}_timestamp_seconds{{{where}}}"] == at
    metrics.observed(holder(), figures(ready=False, expires_at=None))
    assert series(metrics)[f'leaseholder_dynamic_lease_ready{{{where},reason="Ready"}}'] == 0
    assert of(metrics, "expiry_timestamp") == []


def test_moments_are_told_by_our_clock_wherever_the_providers_stands() -> None:
    for ahead, shown in ((1800.0, -1800.0), (-1800.0, 1800.0), (3.0, 0.0)):
        metrics = Metrics(wall=lambda ahead=ahead: NOON.timestamp() - ahead)  # type: ignore[misc]
        metrics.observed(holder(), figures(State.HELD))
        where = '{name="orders",namespace="shop"}'
        at = series(metrics)[f"leaseholder_dynamic_lease_expiry_timestamp_seconds{where}"]
        assert at - NOON.timestamp() == shown


def test_a_dynamic_lease_that_is_forgotten_leaves_nothing() -> None:
    metrics = Metrics()
    before = set(series(metrics))
    metrics.observed(holder(), figures(State.HELD, State.REVOKING))
    assert of(metrics, '"orders"')
    metrics.observed(holder(), figures(State.REVOKING, ready=None))
    assert [one.partition("{")[0] for one in of(metrics, '"orders"')] == [
        "leaseholder_dynamic_lease_pending_revocation_timestamp_seconds"
    ]
    metrics.forget(holder())
    assert set(series(metrics)) == before


def test_one_made_again_has_one_series_and_not_two() -> None:
    metrics = Metrics()
    metrics.observed(holder(uid="old"), figures(State.REVOKING, ready=None))
    metrics.observed(holder(uid="new"), figures(State.HELD, State.REVOKING))
    assert len(of(metrics, "leaseholder_dynamic_lease_ready{")) == 1
    assert len(of(metrics, "pending_revocation_timestamp")) == 1
    assert series(metrics)['leaseholder_dynamic_leases{ready="true"}'] == 1


def test_the_oldest_pending_revocation_is_told_since_when_it_is_pending() -> None:
    now = [1000.0]
    metrics = Metrics(wall=lambda: now[0])

    def oldest() -> list[float]:
        return [v for k, v in series(metrics).items() if "pending_revocation" in k]

    metrics.observed(holder(), figures(State.HELD))
    assert oldest() == []
    metrics.observed(holder(), figures(State.HELD, State.REVOKING))
    now[0] = 2000.0
    metrics.observed(holder(), figures(State.REVOKING, State.REVOKING))
    assert oldest() == [1000.0]
    metrics.observed(holder(), figures(State.REVOKING, State.HELD))
    assert oldest() == [2000.0]
    restarted = Metrics(wall=lambda: now[0])
    since = figures(State.REVOKING, pending_since=NOON - timedelta(hours=2))
    restarted.observed(holder(), since)
    pending = "leaseholder_dynamic_lease_pending_revocation_timestamp_seconds"
    at = series(restarted)[f'{pending}{{name="orders",namespace="shop"}}']
    assert at == NOON.timestamp() - 7200


def test_every_counter_of_a_provider_is_there_from_the_start() -> None:
    metrics = Metrics()
    metrics.provider_observed(INFISICAL, None, Reason.PENDING)
    found = series(metrics)
    for family in catalogue.BY_PROVIDER:
        for outcome in family.known["outcome"]:
            assert found[f'{family.name}{{outcome="{outcome}",{LABELS}}}'] == 0
    for state in State:
        assert found[f'leaseholder_leases{{{LABELS},state="{state}"}}'] == 0
    assert of(metrics, "leaseholder_provider_ready{") == []


def test_what_is_counted_is_counted_by_provider_and_outcome() -> None:
    metrics = Metrics()
    metrics.provider_observed(INFISICAL, True, Reason.READY)
    metrics.issued(INFISICAL, errors.Outcome.OK, replaces=False)
    metrics.issued(INFISICAL, errors.Outcome.OK, replaces=True)
    metrics.renewed(INFISICAL, errors.Outcome.GONE)
    metrics.revoked(INFISICAL, errors.Outcome.UNCLEAR)
    metrics.provider_request(INFISICAL, "issue", "ok", 0.3)
    metrics.observed(holder(), figures(State.HELD, State.SUPERSEDED))
    found = series(metrics)
    assert found[f'leaseholder_issues_total{{outcome="ok",{LABELS}}}'] == 2
    assert found[f'leaseholder_rotations_total{{outcome="ok",{LABELS}}}'] == 1
    assert found[f'leaseholder_renewals_total{{outcome="gone",{LABELS}}}'] == 1
    assert found[f'leaseholder_revocations_total{{outcome="unclear",{LABELS}}}'] == 1
    assert found[f'leaseholder_provider_requests_total{{outcome="ok",{LABELS}}}'] == 1
    bucket = "leaseholder_provider_request_duration_seconds_bucket"
    assert found[f'{bucket}{{le="0.25",operation="issue",{LABELS}}}'] == 0
    assert found[f'{bucket}{{le="0.5",operation="issue",{LABELS}}}'] == 1
    assert found[f'{bucket}{{le="+Inf",operation="issue",{LABELS}}}'] == 1
    assert found[f'leaseholder_leases{{{LABELS},state="Held"}}'] == 1
    assert found[f'leaseholder_provider_ready{{{LABELS},reason="Ready"}}'] == 1


def test_a_provider_that_is_gone_leaves_nothing_and_its_leases_are_counted_with_others() -> None:
    metrics = Metrics()
    before = set(series(metrics))
    connections = Connections(circuit_open=True, budget_used=0.5)
    metrics.provider_observed(INFISICAL, True, Reason.READY)
    metrics.provider_connected(INFISICAL, connections.reading)
    metrics.provider_request(INFISICAL, "login", "ok", 0.1)
    assert len(of(metrics, LABELS)) > 40
    metrics.forget_provider(INFISICAL)
    metrics.forget_provider(INFISICAL)
    assert set(series(metrics)) == before
    metrics.observed(holder(), figures(State.REVOKING, ready=None))
    metrics.revoked(INFISICAL, errors.Outcome.OK)
    metrics.provider_request(INFISICAL, "revoke", "ok", 0.1)
    assert of(metrics, LABELS) == []
    others = 'provider="*",provider_kind="*",provider_namespace="*"'
    found = series(metrics)
    assert found[f'leaseholder_revocations_total{{outcome="ok",{others}}}'] == 1
    assert found[f'leaseholder_leases{{{others},state="Revoking"}}'] == 1


def test_no_namespace_makes_more_series_than_those_of_so_many_providers() -> None:
    metrics = Metrics()
    for number in range(1000):
        of_shop = ("LeaseProvider", "shop", f"rogue-{number}")
        metrics.provider_observed(of_shop, False, Reason.UNREACHABLE)
        metrics.provider_request(of_shop, "login", "lost", 1.0)
    metrics.provider_observed(("LeaseProvider", "billing", "honest"), True, Reason.READY)
    for number in range(40):
        metrics.provider_observed(("ClusterLeaseProvider", "", f"c-{number}"), True, Reason.READY)
    shown = {re.sub('.*provider="([^"]*)".*', r"\1", one) for one in of(metrics, "provider_ready")}
    assert sum(one.startswith("rogue-") for one in shown) == MOST_OF_NAMESPACE
    assert "honest" in shown
    assert sum(one.startswith("c-") for one in shown) == 40
    metrics.forget_provider(("LeaseProvider", "shop", "rogue-0"))
    metrics.provider_observed(("LeaseProvider", "shop", "rogue-999"), True, Reason.READY)
    assert of(metrics, '"rogue-999"')


def test_connections_show_circuit_budget_and_clock_as_long_as_they_are_there() -> None:
    metrics, connections = Metrics(), Connections(circuit_open=True)
    metrics.provider_connected(INFISICAL, connections.reading)
    found = series(metrics)
    assert found[f"leaseholder_provider_circuit_open{{{LABELS}}}"] == 1
    assert found[f"leaseholder_provider_clock_skew_seconds{{{LABELS}}}"] == -7
    assert of(metrics, "budget_used_ratio") == []
    connections.now = Reading(False, 0.25, 0)
    found = series(metrics)
    assert found[f"leaseholder_provider_circuit_open{{{LABELS}}}"] == 0
    assert found[f"leaseholder_provider_budget_used_ratio{{{LABELS}}}"] == 0.25
    del connections
    assert of(metrics, "circuit_open") == []


def test_a_provider_that_was_gone_at_the_start_has_series_while_its_leases_are_revoked() -> None:
    metrics, connections = Metrics(), Connections(circuit_open=False)
    metrics.provider_connected(INFISICAL, connections.reading)
    metrics.revoked(INFISICAL, errors.Outcome.OK)
    assert of(metrics, LABELS) != []
    del connections
    assert of(metrics, LABELS) == []
    metrics.provider_observed(INFISICAL, None, Reason.PENDING)
    assert of(metrics, LABELS) != []


def test_a_provider_that_is_looked_at_anew_keeps_its_verdict_until_then() -> None:
    metrics = Metrics()
    metrics.provider_observed(INFISICAL, False, Reason.UNREACHABLE)
    metrics.provider_observed(INFISICAL, None, Reason.PENDING)
    assert (
        series(metrics)[f'leaseholder_provider_ready{{{LABELS},reason="ProviderUnreachable"}}'] == 0
    )


def test_what_is_read_on_demand_is_read_each_time() -> None:
    metrics, depth = Metrics(), [3]
    metrics.read(catalogue.QUEUE, "DynamicLease", by=lambda: depth[0])
    assert series(metrics)['leaseholder_queue_depth{kind="DynamicLease"}'] == 3
    depth[0] = 5
    assert series(metrics)['leaseholder_queue_depth{kind="DynamicLease"}'] == 5
    metrics.late(0.2)
    metrics.cluster_request("get", "secrets")
    metrics.unreadable("Secret", 4)
    found = series(metrics)
    assert found["leaseholder_lateness_seconds_count{}"] == 1
    assert found['leaseholder_cluster_requests_total{resource="secrets",verb="get"}'] == 1
    assert found['leaseholder_unreadable_objects{kind="Secret"}'] == 4
    assert found['leaseholder_unreadable_objects{kind="LeaseRecord"}'] == 0


def test_the_outcomes_of_requests_are_those_that_adapters_tell() -> None:
    assert {*catalogue.REQUESTS.known["outcome"]} == {*failures.RequestOutcome}


@pytest.mark.parametrize("kind", [exposition.TEXT, exposition.OPEN_METRICS])
def test_both_formats_are_read_by_prometheus_own_parser_and_have_no_created_series(
    kind: str,
) -> None:
    metrics = Metrics()
    fill(metrics, 5)
    found = text(metrics, kind)
    parse = (
        open_parser.text_string_to_metric_families
        if kind == exposition.OPEN_METRICS
        else parser.text_string_to_metric_families
    )
    families = list(parse(found))
    assert len(families) > 20
    assert "_created" not in found
    assert kind == exposition.TEXT or found.endswith("# EOF\n")


def test_no_value_of_a_label_is_prose() -> None:
    metrics = Metrics()
    fill(metrics, 3)
    values = {
        value
        for family in parser.text_string_to_metric_families(text(metrics))
        for sample in family.samples
        for value in sample.labels.values()
    }
    assert [one for one in values if " " in one] == []


def fill(metrics: Metrics, number: int) -> None:
    """So many DynamicLeases, each with two leases, and a provider for each hundred."""
    for n in range(number):
        ref = ("LeaseProvider", "shop", f"provider-{n // 100}")
        metrics.provider_observed(ref, True, Reason.READY)
        metrics.provider_request(ref, "issue", "ok", 0.1)
        metrics.observed(holder(f"lease-{n}", f"uid-{n}"), figures(State.HELD, State.REVOKING))
    metrics.read(catalogue.LEADER, "default", by=lambda: True)
    metrics.read(catalogue.RESTORES, by=lambda: 1)
    metrics.read(catalogue.BUILD, "0.1.0", "3.11.7", "1.45.2", by=lambda: True)


def everything() -> Metrics:
    """Something of each metric, at the beginning of the epoch, as histories in tests count time."""
    metrics = Metrics(wall=lambda: 0.0)
    fill(metrics, 1)
    metrics.observed(holder("broken"), figures(ready=False))
    metrics.provider_observed(INFISICAL, False, Reason.UNREACHABLE)
    metrics.swept(INFISICAL, 2)
    metrics.provider_connected(INFISICAL, CONNECTIONS.reading)
    metrics.issued(INFISICAL, errors.Outcome.OK, replaces=True)
    metrics.renewed(INFISICAL, errors.Outcome.OK)
    metrics.revoked(INFISICAL, errors.Outcome.OK)
    metrics.read(catalogue.QUEUE, "DynamicLease", by=lambda: 1)
    metrics.unreadable("Secret", 1)
    metrics.read(catalogue.CLUSTER_UP, by=lambda: True)
    metrics.cluster_request("get", "secrets")
    metrics.late(0.1)
    return metrics


async def test_a_scrape_of_ten_thousand_leases_holds_the_event_loop_only_for_moments() -> None:
    metrics = Metrics()
    fill(metrics, 10_000)
    gc.collect()
    searches = gc.get_stats()[2]["collections"]
    started = time.thread_time()
    snapshot = metrics.snapshot()
    in_the_loop = time.thread_time() - started
    made = asyncio.create_task(
        asyncio.to_thread(functools.partial(exposition.render, snapshot, exposition.TEXT))
    )
    turns = 0
    while not made.done():
        await asyncio.sleep(0.001)
        turns += 1
    lines = (await made).count(b"\n")
    assert lines > 50_000
    assert gc.get_stats()[2]["collections"] == searches, "a search for cycles stops all threads"
    assert in_the_loop < 0.02, "a snapshot is for the loop, and mustn't copy each lease"
    assert turns > 20, "the loop had its turns while the text was made"
