"""What ``wait`` waits for, and which leases ``rotate --all`` takes."""

from datetime import UTC, datetime
from typing import Any

import click
import pytest
from click.testing import CliRunner

from leaseholder.api import lease
from leaseholder.cli import exits, fleet, plugin, waiting

SOURCE = {"projectSlug": "p", "environmentSlug": "e", "dynamicSecretName": "d"}
HELD = {
    "attempt": "u-1",
    "id": "95e5ca9d",
    "issuedAt": "2026-01-01T11:20:00Z",
    "expiresAt": "2026-01-01T13:00:00Z",
    "strategy": "Renew",
}


def dl(
    name: str = "orders",
    *,
    ready: str = "True",
    generations: tuple[int, int] = (1, 1),
    provider: Any = None,
    held: Any = HELD,
    suspend: bool = False,
    deleted: str | None = None,
) -> lease.DynamicLease:
    condition = {"type": "Ready", "status": ready, "reason": "Ready"}
    return lease.DynamicLease.model_validate(
        {
            "metadata": {
                "namespace": "shop",
                "name": name,
                "uid": "u",
                "generation": generations[0],
                "deletionTimestamp": deleted,
            },
            "spec": {
                "providerRef": provider or {"name": "infisical"},
                "infisical": SOURCE,
                "suspend": suspend,
            },
            "status": {
                "observedGeneration": generations[1],
                "conditions": [{**condition, "lastTransitionTime": "2026-01-01T11:00:00Z"}],
                "lease": held,
            },
        }
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Ready", "Ready True"),
        ("ready=false", "Ready False"),
        ("condition=RolloutComplete", "RolloutComplete True"),
        ("delete", "gone"),
    ],
)
def test_a_goal_is_written_as_for_kubectl(text: str, told: str) -> None:
    assert str(waiting.goal(text)) == told


@pytest.mark.parametrize("text", ["", "nonsense", "Ready=maybe", "delete=true", "jsonpath={.x}"])
def test_another_goal_is_answered_with_what_to_write(text: str) -> None:
    with pytest.raises(click.UsageError, match="write delete, or one of Ready, LeaseHeld"):
        waiting.goal(text)


def test_a_condition_counts_only_when_it_is_about_the_spec_as_it_is() -> None:
    ready = waiting.goal("Ready")
    assert ready.is_met(dl())
    assert not ready.is_met(dl(ready="False"))
    assert not ready.is_met(dl(generations=(2, 1)))
    assert not waiting.goal("Stalled").is_met(dl())


def choice(provider: str = "infisical", before: datetime | None = None) -> fleet.Selection:
    return fleet.Selection(provider=provider, before=before, at_once=5, timeout=1)


def test_all_leases_of_the_provider_are_taken_and_those_that_cannot_be_are_named() -> None:
    known = [
        dl("orders"),
        dl("other", provider={"name": "phase"}),
        dl("shared", provider={"kind": "ClusterLeaseProvider", "name": "infisical"}),
        dl("halted", suspend=True),
        dl("leaving", deleted="2026-01-01T12:00:00Z"),
        dl("waiting", held=None),
    ]
    found, left_out = fleet.chosen(known, choice())
    assert [one.metadata.name for one in found] == ["orders"]
    assert [one.partition(":")[0] for one in left_out] == [
        *("shop/halted is left out", "shop/leaving is left out", "shop/waiting is left out")
    ]
    found, left_out = fleet.chosen(known, choice("ClusterLeaseProvider/infisical"))
    assert ([one.metadata.name for one in found], left_out) == (["shared"], [])


def test_given_again_with_its_beginning_it_takes_only_what_is_left() -> None:
    began = datetime(2026, 1, 1, 12, tzinfo=UTC)
    rotated = {**HELD, "issuedAt": "2026-01-01T12:00:00Z"}
    known = [dl("before"), dl("after", held=rotated)]
    found, _ = fleet.chosen(known, choice(before=began))
    assert [one.metadata.name for one in found] == ["before"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["rotate"],
        ["rotate", "orders", "--all", "--provider", "infisical"],
        ["rotate", "--all"],
        ["rotate", "--provider", "infisical"],
        ["rotate", "orders", "-A"],
    ],
)
def test_rotating_takes_a_name_or_all_of_a_provider(arguments: list[str]) -> None:
    done = CliRunner().invoke(plugin.main, arguments)
    assert done.exit_code == exits.Exit.USAGE
    assert "write a NAME, or --all and --provider" in done.stderr
