"""Workloads that use a lease: restarted once for a new one, while the old one lives on."""

import asyncio
import collections.abc
import datetime
import typing

import pytest
import pytest_asyncio

from tests.cluster import sites, workloads
from tests.world import kube
from tests.world import world as worlds

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

BINDING = "leaseholder-workloads"
Check = collections.abc.Callable[[], bool]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    async with sites.site(world, "rollouts") as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kubelet(site: sites.Site) -> collections.abc.AsyncIterator[workloads.Kubelet]:
    async with workloads.kubelet(site.client, site.namespace) as working:
        yield working


async def test_both_logins_work_until_the_rollout_is_complete_and_then_the_old_one_dies(
    site: sites.Site, kubelet: workloads.Kubelet
) -> None:
    await _runs(site, "Deployment", "shop")
    old = await _leased(site, "shop", {"kind": "Deployment", "name": "shop"})
    kubelet.held.add("shop")
    await _rotate(site, "shop")
    await _told(site, "shop", "RolloutPending", message="1 of 2 pods are updated")
    new = await site.credentials("shop")
    assert new != old
    assert await _stays(lambda: site.lets_in(old) and site.lets_in(new), 3)
    kubelet.held.clear()
    await _dies(site, "shop", old)
    found = await _told(site, "shop", "RolloutComplete")
    assert site.lets_in(new)
    assert kube.is_ready(found)
    deployment = await site.client.get("Deployment", "shop", site.namespace)
    assert workloads.revision(deployment) == 2
    assert workloads.restarts(deployment) == [found["status"]["lease"]["attempt"]]
    assert (await _events(site, "shop")).count("WorkloadRestarted") == 1


async def test_pods_that_take_long_to_end_keep_the_old_login(
    site: sites.Site, kubelet: workloads.Kubelet
) -> None:
    await _runs(site, "Deployment", "lingers")
    old = await _leased(site, "lingers", {"kind": "Deployment", "name": "lingers"})
    pods = await site.client.list("Pod", site.namespace, labels="app=lingers")
    names = [pod["metadata"]["name"] for pod in pods]
    for name in names:  # as a pod that has work to finish
        await _keep_pod(site, name, ["example.com/work"])
    await _rotate(site, "lingers")
    await _told(site, "lingers", "RolloutPending", message="2 pods haven't ended yet")
    assert await _stays(lambda: site.lets_in(old), 3)
    for name in names:
        await _keep_pod(site, name, [])
    await _dies(site, "lingers", old)
    await _told(site, "lingers", "RolloutComplete")
    assert await site.logs_in("lingers")


async def _keep_pod(site: sites.Site, name: str, finalizers: list[str]) -> None:
    change = {"metadata": {"finalizers": finalizers}}
    await site.client.patch("Pod", name, site.namespace, change)


async def test_every_kind_is_restarted_once_and_waited_for_by_name_or_label(
    site: sites.Site, kubelet: workloads.Kubelet
) -> None:
    names = {"StatefulSet": "kinds-set", "DaemonSet": "kinds-daemon", "Deployment": "kinds-web"}
    for kind, name in names.items():
        await _runs(site, kind, name, tier="kinds")
    await _runs(site, "Deployment", "kinds-other", tier="other")
    old = await _leased(
        site,
        "kinds",
        {"kind": "StatefulSet", "name": "kinds-set"},
        {"kind": "DaemonSet", "name": "kinds-daemon"},
        {"kind": "Deployment", "selector": {"matchLabels": {"tier": "kinds"}}},
    )
    kubelet.held.update(names.values())
    await _rotate(site, "kinds")
    for kind, name in names.items():
        await site.client.wait(
            kind, name, site.namespace, lambda found: workloads.restarts(found) != [], what=kind
        )
        message = f"{kind} {name}"
        await _told(site, "kinds", "RolloutPending", message=message)
        assert site.lets_in(old)
        kubelet.held.discard(name)
        await _told(site, "kinds", message=message, negate=True)
    await _dies(site, "kinds", old)
    assert await site.logs_in("kinds")
    other = await site.client.get("Deployment", "kinds-other", site.namespace)
    assert workloads.restarts(other) == []


async def test_an_undo_keeps_the_old_login_until_pods_have_moved_whatever_the_kind(
    site: sites.Site, kubelet: workloads.Kubelet
) -> None:
    plans: dict[str, tuple[str, kube.Object]] = {
        "undo-web": ("Deployment", {}),
        "undo-paused": ("Deployment", {"paused": True}),
        "undo-set": ("StatefulSet", {"updateStrategy": {"rollingUpdate": {"partition": 2}}}),
        "undo-daemon": ("DaemonSet", {"updateStrategy": {"type": "OnDelete"}}),
    }
    for name, (kind, _) in plans.items():
        await _runs(site, kind, name)
    targets = [{"kind": kind, "name": name} for name, (kind, _) in plans.items()]
    old = await _leased(site, "undo", *targets)
    kubelet.held.update(plans)
    for name, (kind, change) in plans.items():
        await site.client.patch(kind, name, site.namespace, {"spec": change})
    await _rotate(site, "undo")
    stamps = {name: await _restarted(site, kind, name) for name, (kind, _) in plans.items()}
    for name, (kind, _) in plans.items():
        await _stamp(site, kind, name, dict.fromkeys(stamps[name]))
        await site.client.wait(kind, name, site.namespace, _runs_on_its_template, what="undone")
    for name, (kind, _) in plans.items():
        await _told(site, "undo", "RolloutFailed", message=f"{kind} {name}: its restart was taken")
        assert site.lets_in(old)
        await _stamp(site, kind, name, stamps[name])
        await _told(site, "undo", message=f"{kind} {name}: its restart was taken", negate=True)
    assert site.lets_in(old)
    kubelet.held.clear()
    for name, (kind, _) in plans.items():
        moves: kube.Object = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": None}}
        change = {"paused": None} if kind == "Deployment" else moves
        await site.client.patch(kind, name, site.namespace, {"spec": change})
    await _dies(site, "undo", old)
    assert await site.logs_in("undo")


async def test_a_workload_made_again_over_its_old_pods_is_restarted_before_the_old_login_dies(
    site: sites.Site, kubelet: workloads.Kubelet
) -> None:
    await _runs(site, "Deployment", "again")
    old = await _leased(site, "again", {"kind": "Deployment", "name": "again"})
    kubelet.held.add("again")
    await _rotate(site, "again")
    await _restarted(site, "Deployment", "again")
    await site.client.delete("Deployment", "again", site.namespace, orphans=True)
    await _told(site, "again", "RestartTargetMissing")
    await _runs(site, "Deployment", "again")
    await _restarted(site, "Deployment", "again")
    await _told(site, "again", "RolloutPending", message="of 2 pods are updated")
    assert site.lets_in(old)
    kubelet.held.clear()
    await _dies(site, "again", old)
    assert await site.logs_in("again")


async def test_a_workload_without_pods_is_complete_at_once_and_undone_it_is_not(
    site: sites.Site, kubelet: workloads.Kubelet
) -> None:
    await _runs(site, "Deployment", "asleep")
    old = await _leased(site, "asleep", {"kind": "Deployment", "name": "asleep"}, overlap="8s")
    kubelet.held.add("asleep")
    await _rotate(site, "asleep")
    stamps = await _restarted(site, "Deployment", "asleep")
    await _told(site, "asleep", "RolloutPending", message="of 2 pods are updated")
    await _stamp(site, "Deployment", "asleep", dict.fromkeys(stamps))
    await _told(site, "asleep", "RolloutFailed", message="taken back")
    await site.client.patch("Deployment", "asleep", site.namespace, {"spec": {"replicas": 0}})
    await site.client.wait(
        "Deployment", "asleep", site.namespace, _runs_on_its_template, what="no pods"
    )
    assert site.lets_in(old)
    await _stamp(site, "Deployment", "asleep", stamps)
    await _told(site, "asleep", "RolloutComplete")
    await _dies(site, "asleep", old)


async def test_leases_that_rotate_together_roll_a_deployment_once(
    site: sites.Site, kubelet: workloads.Kubelet
) -> None:
    await _runs(site, "Deployment", "both")
    names = ("both-orders", "both-queue", "both-cache")
    target = {"kind": "Deployment", "name": "both"}
    old = await asyncio.gather(*(_leased(site, name, target) for name in names))
    await asyncio.gather(*(_rotate(site, name) for name in names))
    await asyncio.gather(*(_dies(site, n, values) for n, values in zip(names, old, strict=True)))
    for name in names:
        await _told(site, name, "RolloutComplete")
        assert await site.logs_in(name)
    found = await site.client.list("ReplicaSet", site.namespace, labels="app=both")
    assert len(found) == 2
    events = [await _events(site, name) for name in names]
    assert sum(one.count("WorkloadRestarted") for one in events) == 1


async def test_a_rollout_that_never_completes_keeps_the_old_login_beyond_its_first_expiry(
    site: sites.Site, kubelet: workloads.Kubelet
) -> None:
    await _runs(site, "Deployment", "stuck")
    target = {"kind": "Deployment", "name": "stuck"}
    old = await _leased(site, "stuck", target, source="short-db", ttl=None, rolloutTimeout="4s")
    first = await site.found("stuck")
    kubelet.held.add("stuck")
    await _rotate(site, "stuck")
    found = await _told(site, "stuck", "RolloutFailed", message="Deployment stuck: ")
    assert kube.is_ready(found)
    end = datetime.datetime.fromisoformat((first or {})["status"]["lease"]["expiresAt"])
    margin = datetime.timedelta(seconds=5)
    await site.until("stuck", lambda _: _now() > end + margin, what="past the old expiry")
    assert site.lets_in(old)
    assert await site.logs_in("stuck")
    assert (await _events(site, "stuck")).count("RolloutFailed") == 1
    kubelet.held.clear()
    await _dies(site, "stuck", old)
    await _told(site, "stuck", "RolloutComplete")
    assert await site.logs_in("stuck")


async def test_an_operator_that_is_killed_between_delivery_and_rollout_restarts_once(
    site: sites.Site, kubelet: workloads.Kubelet
) -> None:
    await _runs(site, "Deployment", "killed")
    old = await _leased(site, "killed", {"kind": "Deployment", "name": "killed"})
    kubelet.held.add("killed")
    await _rotate(site, "killed")
    await _told(site, "killed", "RolloutPending")
    site.operator.kill()
    await site.restart()
    await site.client.wait(
        "Deployment",
        "killed",
        site.namespace,
        lambda found: workloads.restarts(found) != [],
        what="restarted",
    )
    site.operator.kill()
    await site.restart()
    kubelet.held.clear()
    await _dies(site, "killed", old)
    assert await site.logs_in("killed")
    assert workloads.revision(await site.client.get("Deployment", "killed", site.namespace)) == 2


async def test_a_target_that_is_missing_keeps_the_old_login_and_an_argo_rollout_is_awaited(
    site: sites.Site,
) -> None:
    target = {"kind": "Rollout", "name": "argo"}
    old = await _leased(site, "argo", target, rolloutTimeout="1s")
    await _rotate(site, "argo")
    await _told(site, "argo", "RestartTargetMissing", message="there is no Rollout argo")
    assert await _stays(lambda: site.lets_in(old), 2)
    await site.client.apply(workloads.ARGO)
    await site.client.wait(
        "CustomResourceDefinition",
        "rollouts.argoproj.io",
        "",
        lambda found: kube.condition(found, "Established").get("status") == "True",
        what="the CRD is established",
    )
    meta = {"name": "argo", "namespace": site.namespace}
    await site.client.apply(
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": meta, "spec": {}}
    )
    rollout = await site.client.wait(
        "Rollout",
        "argo",
        site.namespace,
        lambda found: "restartAt" in (found or {})["spec"],
        what="restartAt is set",
    )
    assert rollout is not None
    assert site.lets_in(old)
    done = {
        "observedGeneration": str(rollout["metadata"]["generation"]),
        "restartedAt": rollout["spec"]["restartAt"],
        "phase": "Healthy",
    }
    await site.client.patch_status("Rollout", "argo", site.namespace, {"status": done})
    await _dies(site, "argo", old)
    assert await site.logs_in("argo")


async def test_without_the_right_it_says_which_role_to_bind_and_keeps_the_old_login(
    site: sites.Site, kubelet: workloads.Kubelet
) -> None:
    await _runs(site, "Deployment", "rights")
    old = await _leased(site, "rights", {"kind": "Deployment", "name": "rights"})
    binding = f"{BINDING}-{site.home}"
    right = await site.client.get("ClusterRoleBinding", binding)
    assert right is not None
    await site.client.delete("ClusterRoleBinding", binding)
    await _rotate(site, "rights")
    found = await _told(site, "rights", "RestartRefused", message=f"ClusterRole {BINDING}")
    assert kube.is_ready(found)
    assert await site.logs_in("rights")
    assert site.lets_in(old)
    kept = {key: right[key] for key in ("apiVersion", "kind", "roleRef", "subjects")}
    await site.client.apply({**kept, "metadata": {"name": binding}})
    await _dies(site, "rights", old)
    await _told(site, "rights", "RolloutComplete")


async def _runs(site: sites.Site, kind: str, name: str, **labels: str) -> None:
    """A workload that is up."""
    await site.client.apply(workloads.manifest(kind, name, site.namespace, **labels))
    await site.client.wait(kind, name, site.namespace, workloads.is_up, what="it is up")


async def _restarted(site: sites.Site, kind: str, name: str) -> dict[str, str | None]:
    """Our stamps on a workload's pod template, once there are some."""
    found = await site.client.wait(
        kind, name, site.namespace, lambda one: workloads.restarts(one) != [], what="restarted"
    )
    return {**(found or {})["spec"]["template"]["metadata"]["annotations"]}


async def _stamp(
    site: sites.Site, kind: str, name: str, stamps: collections.abc.Mapping[str, str | None]
) -> None:
    """``kubectl rollout undo`` to another revision of the pod template, told by its stamps."""
    template = {"template": {"metadata": {"annotations": dict(stamps)}}}
    await site.client.patch(kind, name, site.namespace, {"spec": template})


def _runs_on_its_template(found: kube.Object | None) -> bool:
    """Whether all pods are of the pod template as it is, as ``kubectl rollout status`` judges."""
    spec, status = (found or {})["spec"], (found or {}).get("status") or {}
    seen = status.get("observedGeneration", 0) >= (found or {})["metadata"]["generation"]
    wanted = status.get("desiredNumberScheduled", spec.get("replicas", 0))
    pods = status.get("currentNumberScheduled", status.get("replicas", 0))
    updated = status.get("updatedNumberScheduled", status.get("updatedReplicas", 0))
    revision = status.get("currentRevision") == status.get("updateRevision")
    return bool(seen and revision and wanted == pods and updated in {wanted, 0})


async def _leased(
    site: sites.Site,
    name: str,
    *targets: kube.Object,
    source: str = "orders-db",
    ttl: str | None = "1h",
    **rotation: typing.Any,
) -> dict[str, str]:
    """A lease that was delivered, with its workloads; its credentials."""
    more: dict[str, typing.Any] = {} if ttl is None else {"ttl": ttl}
    rotation = {"overlap": "1s", "restartTargets": list(targets), **rotation}
    await site.lease(name, source=source, rotation=rotation, **more)
    await site.ready(name)
    values = await site.credentials(name)
    assert site.lets_in(values)
    return values


async def _rotate(site: sites.Site, name: str) -> None:
    change = {"metadata": {"annotations": {"leaseholder.dev/rotate": "1"}}}
    await site.client.patch("DynamicLease", name, site.namespace, change)


async def _told(
    site: sites.Site,
    name: str,
    reason: str | None = None,
    *,
    message: str = "",
    negate: bool = False,
) -> kube.Object:
    """Wait until RolloutComplete has a reason and says something, or doesn't any more."""

    def holds(found: kube.Object | None) -> bool:
        known = kube.condition(found, "RolloutComplete")
        right = reason is None or known.get("reason") == reason
        return right and (message in known.get("message", "")) != negate

    return await site.until(name, holds, what=f"rollout: {reason} {message}", timeout=45)


async def _dies(site: sites.Site, name: str, values: dict[str, str]) -> None:
    await site.until(
        name, lambda _: not site.lets_in(values), what="the old login is refused", timeout=60
    )


async def _stays(holds: Check, seconds: float) -> bool:
    """Whether something holds, looked at for so long."""
    end = _now() + datetime.timedelta(seconds=seconds)
    while _now() < end:
        if not holds():
            return False
        await asyncio.sleep(0.2)
    return True


async def _events(site: sites.Site, name: str) -> list[str]:
    found = await site.client.list("Event", site.namespace)
    return [e["reason"] for e in found if e["involvedObject"]["name"] == name]


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
