"""Supplies: which provider a DynamicLease may use, and one adapter for each."""

import asyncio
import functools
from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api import base, provider
from leaseholder.api.conditions import Reason
from leaseholder.controller import patience, supplies
from leaseholder.ports.provider import Provider
from tests.unit.controller import fakes
from tests.unit.controller.world import AUTH, SHOP, World, cluster_away, infisical, manifest, shared

REF = ("LeaseProvider", SHOP, "infisical")


def bare(adapter: Provider) -> Provider:
    """The adapter itself."""
    assert isinstance(adapter, patience.Patient)
    return adapter.adapter


def fresh(world: World) -> None:
    """Let each adapter that is built be another one."""
    world.build = lambda: fakes.FakeProvider(world.trace, world.clock)


async def test_one_read_serves_all_who_ask_while_it_lasts_and_shortly_after() -> None:
    world = World()
    answer = asyncio.Event()
    world.cluster.before("get provider", answer.wait)
    asking = [asyncio.create_task(world.supplies.wanted(world.dl)) for _ in range(5)]
    await world.trace.until(lambda: world.count("get provider"))
    answer.set()
    found = await asyncio.gather(*asking)
    await world.supplies.wanted(world.dl)
    assert world.count("get provider") == 1
    assert {id(bare(adapter)) for _, adapter in found} == {id(world.provider)}
    assert len(world.built) == 1


async def test_a_read_is_made_again_when_it_is_old_or_the_object_changed() -> None:
    world = World()
    await world.supplies.wanted(world.dl)
    world.clock.move(supplies.CACHED_FOR + 1)
    await world.supplies.wanted(world.dl)
    world.supplies.invalidate(REF)
    await world.supplies.wanted(world.dl)
    assert world.count("get provider") == 3


async def test_what_went_while_it_was_read_is_neither_used_nor_kept() -> None:
    world = World()
    answer = asyncio.Event()
    world.cluster.after("get provider", answer.wait)
    asking = asyncio.create_task(world.supplies.wanted(world.dl))
    await world.trace.until(lambda: world.count("get provider"))
    world.cluster.providers.clear()
    world.supplies.absent(REF, infisical().metadata.uid)
    answer.set()
    with pytest.raises(errors.Invalid, match="there is no LeaseProvider infisical"):
        await asking
    assert not world.built


async def test_a_read_that_failed_is_made_again_at_once() -> None:
    world = World()
    world.cluster.before("get provider", cluster_away())
    with pytest.raises(errors.ClusterUnavailable):
        await world.supplies.wanted(world.dl)
    await world.supplies.wanted(world.dl)


async def test_one_who_gives_up_waiting_does_not_take_the_read_from_the_others() -> None:
    world = World()
    answer = asyncio.Event()
    world.cluster.before("get provider", answer.wait)
    first, second = (asyncio.create_task(world.supplies.wanted(world.dl)) for _ in range(2))
    await world.trace.until(lambda: world.count("get provider"))
    first.cancel()
    await asyncio.wait([first])
    answer.set()
    _, adapter = await second
    assert bare(adapter) is world.provider
    assert first.cancelled()


async def test_a_missing_provider_is_named() -> None:
    world = World()
    world.cluster.providers.clear()
    with pytest.raises(errors.Invalid, match="there is no LeaseProvider infisical") as missing:
        await world.supplies.wanted(world.dl)
    assert missing.value.reason == Reason.PROVIDER_MISSING


async def test_a_source_that_is_too_long_for_the_record_is_refused_with_its_length() -> None:
    world = World()
    texts = {f"k{number}": ["ä" * 1000] * 16 for number in range(3)}
    source = {"projectSlug": "p", "environmentSlug": "e", "dynamicSecretName": "d"}
    long = world.cluster.user_applies(manifest(infisical={**source, "config": texts}))
    fits = manifest(infisical={**source, "config": {"k": texts["k0"]}})
    with pytest.raises(errors.Invalid, match=r"spec.infisical has 96\d\d\d bytes, and 65536 fit"):
        await world.supplies.wanted(long)
    await world.supplies.wanted(world.cluster.user_applies(fits))


async def test_a_provider_of_another_kind_than_the_source_is_named() -> None:
    world = World()
    spec = world.dl.spec.model_copy(update={"infisical": None})
    with pytest.raises(errors.Invalid) as other:
        await world.supplies.wanted(world.dl.model_copy(update={"spec": spec}))
    assert other.value.reason == Reason.PROVIDER_MISMATCH


@pytest.mark.parametrize(
    ("allowed", "fits"),
    [
        ([], False),
        ([{"names": ["other"]}], False),
        ([{"names": ["other", SHOP]}], True),
        ([{"selector": {"matchLabels": {"team": "shop"}}}], True),
        ([{"selector": {"matchLabels": {"team": "shop", "env": "prod"}}}], False),
        ([{"names": ["other"]}, {"selector": {"matchLabels": {"team": "shop"}}}], True),
    ],
)
async def test_a_shared_provider_serves_the_namespaces_that_it_names(
    allowed: list[dict[str, Any]], fits: bool
) -> None:
    world = World()
    world.cluster.put_provider(shared(*allowed))
    world.cluster.labels(SHOP, team="shop")
    dl = world.cluster.user_applies(
        manifest(providerRef={"kind": "ClusterLeaseProvider", "name": "shared"})
    )
    if fits:
        supply, _ = await world.supplies.wanted(dl)
        assert (supply.kind, supply.namespace) == ("ClusterLeaseProvider", "")
        assert world.built[0][0].namespace is None
    else:
        with pytest.raises(errors.Denied, match="doesn't allow namespace shop") as no:
            await world.supplies.wanted(dl)
        assert no.value.reason == Reason.NAMESPACE_NOT_ALLOWED


async def test_a_namespace_that_is_gone_is_not_selected() -> None:
    world = World()
    world.cluster.put_provider(shared({"selector": {"matchLabels": {"team": "shop"}}}))
    dl = world.cluster.user_applies(
        manifest(providerRef={"kind": "ClusterLeaseProvider", "name": "shared"})
    )
    with pytest.raises(errors.Denied):
        await world.supplies.wanted(dl)


async def test_a_changed_spec_makes_another_adapter_and_the_old_one_is_closed_at_the_end() -> None:
    world = World()
    fresh(world)
    _, old = await world.supplies.wanted(world.dl)
    world.cluster.put_provider(infisical(limits={"concurrency": 1}))
    world.supplies.invalidate(REF)
    _, new = await world.supplies.wanted(world.dl)
    assert new is not old
    await world.supplies.aclose()
    assert [adapter.closed for _, adapter in world.built] == [True, True]


async def test_a_replaced_adapter_is_closed_at_once_unless_an_answer_is_waited_for() -> None:
    world = World()
    fresh(world)
    answer = asyncio.Event()
    _, busy = await world.supplies.wanted(world.dl)
    _, adapter = world.built[0]
    adapter.before("check", answer.wait)
    checking = asyncio.create_task(busy.check())
    await world.trace.until(lambda: world.count("check"))
    for concurrency in (1, 2):
        world.cluster.put_provider(infisical(limits={"concurrency": concurrency}))
        world.supplies.invalidate(REF)
        await world.supplies.wanted(world.dl)
    await asyncio.sleep(0)  # the turn in which the idle one is closed
    assert [adapter.closed for _, adapter in world.built] == [False, True, False]
    answer.set()
    await checking
    await world.supplies.aclose()
    assert [adapter.closed for _, adapter in world.built] == [True, True, True]


async def test_the_adapter_is_kept_when_the_provider_object_is_gone() -> None:
    world = World()
    await world.settle()
    world.cluster.providers.clear()
    world.supplies.invalidate(REF)
    known = world.recorded
    assert bare(await world.supplies.for_lease(known, {})) is world.provider
    assert len(world.built) == 1


async def test_an_adapter_that_no_lease_asked_for_goes_with_its_provider_object() -> None:
    world = World()
    fresh(world)
    world.supplies.adapter(infisical())
    world.supplies.gone(infisical().metadata.uid)
    world.supplies.gone("unknown")
    world.supplies.adapter(infisical())
    assert len(world.built) == 2


async def test_an_adapter_is_let_go_when_nobody_used_it_for_long_and_nothing_is_on_record() -> None:
    world = World()
    fresh(world)
    await world.supplies.wanted(world.dl)
    uid = infisical().metadata.uid
    world.supplies.forget_unused(())
    assert len(world.built) == 1
    world.clock.move(supplies.UNUSED + 1)
    world.supplies.forget_unused({uid})
    world.supplies.adapter(infisical())
    assert len(world.built) == 1
    world.supplies.forget_unused(())
    world.supplies.adapter(infisical())
    assert len(world.built) == 2
    await world.supplies.aclose()
    assert all(adapter.closed for _, adapter in world.built)


async def test_an_adapter_whose_provider_object_is_gone_goes_with_its_last_record() -> None:
    world = World()
    fresh(world)
    await world.supplies.wanted(world.dl)
    uid = infisical().metadata.uid
    world.supplies.gone(uid)
    world.supplies.forget_unused(())
    world.supplies.adapter(infisical())
    assert len(world.built) == 1  # an attempt may be on its way to the record
    world.clock.move(supplies.UNUSED_GONE + 1)
    world.supplies.forget_unused({uid})
    world.supplies.adapter(infisical())
    assert len(world.built) == 1
    world.supplies.forget_unused(())
    world.supplies.adapter(infisical())
    assert len(world.built) == 2


async def test_an_adapter_that_is_built_from_a_record_alone_goes_with_it_as_soon() -> None:
    world = World()
    known = world.rival(1)
    world.cluster.providers.clear()
    await world.supplies.for_lease(known, {})
    world.clock.move(supplies.UNUSED_GONE + 1)
    assert world.supplies.keeps_gone
    world.supplies.forget_unused(())
    await asyncio.sleep(0)  # the turn in which it is closed
    assert world.provider.closed


async def test_what_changes_each_time_it_is_read_is_taken_as_it_was_at_last() -> None:
    world = World()
    changes = [functools.partial(_changed, world)] * (supplies.MOST_AGAIN + 1)
    world.cluster.after("get provider", *changes)
    supply, _ = await world.supplies.wanted(world.dl)
    assert supply.uid == "provider-uid"
    assert world.count("get provider") == supplies.MOST_AGAIN


async def _changed(world: World) -> None:
    world.supplies.invalidate(REF)


async def test_after_a_restart_an_adapter_is_built_from_the_object_or_from_the_record() -> None:
    world = World()
    await world.settle()
    known = world.recorded
    for _ in range(2):
        again = supplies.Supplies(
            world.cluster, world.clock, world.supplies.build, world.supplies.address
        )
        await again.for_lease(known, {})
        world.cluster.providers.clear()
    from_object, from_record = world.built[1][0], world.built[2][0]
    assert from_object.spec.infisical == from_record.spec.infisical
    assert from_object.namespace == from_record.namespace == SHOP


async def test_another_provider_of_the_same_name_is_not_taken_for_it() -> None:
    world = World()
    known = world.rival(1)
    url = {"url": "https://another.example", "auth": AUTH}
    world.cluster.put_provider(infisical(uid="another", infisical=url))
    await world.supplies.for_lease(known, {})
    ((access, _),) = world.built
    assert isinstance(access.spec, provider.LeaseProviderSpec)
    assert access.spec.infisical is not None
    assert access.spec.infisical.url == "https://infisical.example"


async def test_a_provider_object_that_was_made_again_at_the_same_place_serves_its_leases() -> None:
    world = World()
    known = world.rival(1)
    await world.supplies.for_lease(known, {})
    world.cluster.put_provider(infisical(uid="made-again"))
    world.supplies.gone(known.provider.uid)
    world.clock.move(supplies.CACHED_FOR + 1)
    await world.supplies.for_lease(known, {})
    assert [access.of.uid for access, _ in world.built] == [known.provider.uid, "made-again"]


def _bao(uid: str, namespace: str) -> provider.LeaseProvider:
    """A LeaseProvider for a namespace of a server."""
    auth = {"token": {"tokenSecretRef": {"name": "auth", "key": "token"}}}
    server = {"url": "https://bao.example", "namespace": namespace, "auth": auth}
    return provider.LeaseProvider(
        metadata=base.ObjectMeta(name="infisical", namespace=SHOP, uid=uid, generation=1),
        spec=provider.LeaseProviderSpec.model_validate({"openbao": server}),
    )


@pytest.mark.parametrize(("namespace", "issues"), [("teams", 1), ("shops", 2)])
async def test_a_provider_object_made_again_for_another_namespace_of_its_server_gives_a_new_lease(
    namespace: str, issues: int
) -> None:
    world = World()
    world.cluster.put_provider(_bao("before", "teams"))
    path = {"path": "database/creds/orders"}
    world.cluster.user_applies(manifest(infisical=None, openbao=path))
    await world.settle()
    world.cluster.put_provider(_bao("made-again", namespace))
    await world.settle(after=supplies.CACHED_FOR + 1)
    assert world.count("issue") == issues
    assert world.secret == f"lease-{issues}"
    assert "lease-1" in world.provider.live


async def test_a_provider_object_that_went_unseen_is_noticed_when_it_is_read_again() -> None:
    world = World()
    await world.settle()
    known = world.recorded
    world.cluster.put_provider(infisical(uid="made-again"))
    world.clock.move(supplies.CACHED_FOR + 1)
    await world.supplies.wanted(world.dl)
    await world.supplies.for_lease(known, {})
    assert world.built[-1][0].of.uid == "made-again"


async def test_a_record_that_does_not_say_enough_is_refused_and_wedges_nothing() -> None:
    world = World()
    known = world.rival(1, state="Revoking", leaseId="lease-9")
    elsewhere = {"uid": "gone", "auth_ref": {"newAuth": {}}, "address": "https://gone.example"}
    known = known.but(provider=known.provider.model_copy(update=elsewhere))
    world.others_write(known)
    with pytest.raises(errors.Invalid, match="can't be read"):
        await world.supplies.for_lease(known, {})
    await world.settle()
    assert world.secret == "lease-1"


async def test_of_names_that_nobody_has_only_a_few_are_remembered() -> None:
    world = World()
    for number in range(2000):
        ref = world.dl.spec.provider_ref.model_copy(update={"name": f"nobody-{number}"})
        spec = world.dl.spec.model_copy(update={"provider_ref": ref})
        with pytest.raises(errors.Invalid):
            await world.supplies.wanted(world.dl.model_copy(update={"spec": spec}))
    assert len(world.supplies._reads) <= supplies.MOST_READS
    world.clock.move(supplies.CACHED_FOR + 1)
    assert len(world.supplies._reads) == 0
