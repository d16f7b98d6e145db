"""Argo CD's health check on the page of GitOps: what it says of each state, in Argo CD's Lua."""

import pathlib
import typing

import pytest

from leaseholder.api import crds
from tests import pages
from tests.chart import argo
from tests.world import kube

ROWS: typing.Final = pages.rows(argo.PAGE, "Seen")


def condition(kind: str, status: str, message: str = "") -> kube.Object:
    return {"type": kind, "status": status, "message": message}


def of_kind(
    *told: kube.Object, kind: str = "DynamicLease", generation: int = 2, **spec: typing.Any
) -> kube.Object:
    return {
        "apiVersion": "leaseholder.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "orders", "namespace": "shop", "generation": generation},
        "spec": spec,
        "status": {"observedGeneration": 2, "conditions": [*told]},
    }


def unseen() -> kube.Object:
    """One that the operator hasn't seen: with the status that the CRD's defaults write."""
    (kind,) = (one for one in crds.KINDS if one.kind == "DynamicLease")
    schema = crds.manifest(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return {**of_kind(generation=1), "status": schema["properties"]["status"]["default"]}


READY: typing.Final = condition("Ready", "True", "the Secret holds credentials that live")
STALLED: typing.Final = condition("Stalled", "True", "there is no LeaseProvider nobody")
LATE: typing.Final = condition("Ready", "False", "the provider doesn't answer")
CASES: typing.Final[dict[str, tuple[kube.Object, str]]] = {
    "Not seen by the operator yet, or the spec is newer than status": (
        unseen(),
        "the operator hasn't checked it yet",
    ),
    "Ready: True": (of_kind(READY), READY["message"]),
    "Ready: False`, tried again": (of_kind(LATE), LATE["message"]),
    "Stalled: True": (of_kind(LATE, STALLED), STALLED["message"]),
    "spec.suspend": (of_kind(LATE, suspend=True), LATE["message"]),
}


@pytest.mark.parametrize("seen", CASES)
def test_each_state_is_shown_as_the_page_says(seen: str, glua: pathlib.Path) -> None:
    found, message = CASES[seen]
    assert argo.health(glua, found) == (ROWS[seen][1], message)


def test_every_row_of_the_page_is_tried() -> None:
    gone = "being deleted, while leases are revoked"  # which Argo CD answers without a script
    assert ROWS.keys() - CASES.keys() == {gone}
    assert ROWS[gone][1] == "Progressing, without asking the script"


def test_a_spec_that_is_newer_than_status_is_in_progress(glua: pathlib.Path) -> None:
    assert argo.health(glua, of_kind(READY, generation=3)).status == "Progressing"


@pytest.mark.parametrize("kind", argo.KINDS)
def test_the_script_serves_each_kind_also_before_it_has_any_status(
    kind: str, glua: pathlib.Path
) -> None:
    assert argo.scripts().keys() == {*argo.KINDS}
    bare = of_kind(kind=kind)
    del bare["status"]
    assert argo.health(glua, bare).status == "Progressing"
    assert argo.health(glua, of_kind(READY, kind=kind)).status == "Healthy"
    assert argo.health(glua, of_kind(LATE, kind=kind)) == ("Progressing", LATE["message"])
