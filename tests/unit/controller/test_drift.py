"""Drift and changes: what is put right, what costs a lease, and what doesn't."""

from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLeaseStatus, Handled
from leaseholder.api.record import Holder, State
from leaseholder.core import actions
from leaseholder.ports.secrets import MOST_OWNED
from tests.unit.controller.world import KEY, NAME, SHOP, SPEC, World, manifest

OTHER = (SHOP, "other")
URL = {"data": {"URL": "db://{{ DB_USERNAME }}"}}


def templated(**template: Any) -> dict[str, Any]:
    return manifest(target={"template": template})


async def held(**spec: Any) -> World:
    """A world in which a lease is delivered."""
    world = World()
    world.cluster.user_applies(manifest(**spec))
    await world.settle()
    assert world.ready == "Ready"
    return world


def write(world: World, **values: str) -> None:
    """Somebody writes values into the Secret."""
    world.cluster.user_writes_secret(
        SHOP, NAME, values={**world.cluster.values.get(KEY, {}), **values}
    )


def delete(world: World) -> None:
    del world.cluster.secrets[KEY], world.cluster.values[KEY]


async def test_edited_data_costs_a_new_lease_and_the_old_one_lives_out_its_overlap() -> None:
    world = await held()
    write(world, DB_PASSWORD="edited")
    _, step = await world.look()
    assert isinstance(step, actions.Report)
    assert [c.reason for c in step.status.conditions if c.type == "Ready"] == ["SecretChanged"]
    await world.settle()
    assert (world.ready, world.secret) == ("Ready", "lease-2")
    assert world.cluster.values[KEY]["DB_PASSWORD"] == "x"
    assert world.records == [("Superseded", "lease-1"), ("Held", "lease-2")]


async def test_a_deleted_secret_costs_a_new_lease_and_the_old_one_lives_out_its_overlap() -> None:
    world = await held()
    delete(world)
    await world.settle()
    assert (world.ready, world.secret) == ("Ready", "lease-2")
    assert world.records == [("Superseded", "lease-1"), ("Held", "lease-2")]


@pytest.mark.parametrize("restarted", [False, True])
async def test_who_keeps_editing_waits_longer_each_time(restarted: bool) -> None:
    world = await held()
    write(world, DB_PASSWORD="edited")
    await world.settle()
    write(world, DB_PASSWORD="edited again")
    if restarted:
        world.crash()
    await world.settle(after=1)
    assert (world.ready, world.count("issue")) == ("SecretContested", 2)
    await world.settle(after=61)
    assert (world.ready, world.count("issue")) == ("Ready", 3)
    write(world, DB_PASSWORD="and again")
    await world.settle()
    await world.settle(after=61)
    assert world.ready == "SecretContested"
    await world.settle(after=61)
    assert (world.ready, world.count("issue")) == ("Ready", 4)


async def test_after_a_quiet_time_the_count_of_edits_begins_anew() -> None:
    world = await held()
    for expected in (2, 3):
        write(world, DB_PASSWORD=f"edited {expected}")
        await world.settle()
        assert (world.ready, world.count("issue")) == ("Ready", expected)
        await world.settle(after=700)


async def test_a_lease_whose_secret_is_contested_is_still_renewed() -> None:
    world = await held(ttl="2m")
    write(world, DB_PASSWORD="edited")
    await world.settle()
    write(world, DB_PASSWORD="edited")
    await world.settle()
    await world.settle(after=61)
    delete(world)
    await world.settle()
    before = world.provider.live["lease-3"].expires_at
    await world.settle(after=100)
    assert world.ready == "SecretContested"
    assert world.provider.live["lease-3"].expires_at > before


async def test_a_command_does_not_wait_for_a_contested_secret() -> None:
    world = await held()
    for _ in range(2):
        write(world, DB_PASSWORD="edited")
        await world.settle()
    assert world.ready == "SecretContested"
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "now"}))
    await world.settle()
    assert (world.ready, world.count("issue")) == ("Ready", 3)


STRIPPED = [
    {"labels": {}},
    {"annotations": {}},
    {"annotations": {names.ATTEMPT: "nonsense"}},
    {"annotations": {names.CONTENTS: "nonsense"}},
    {"labels": {}, "owner_uids": ()},
    {"labels": {}, "annotations": {}},
]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("taken", STRIPPED)
async def test_marks_that_were_taken_off_come_back_without_an_issue(
    taken: dict[str, Any], restarted: bool
) -> None:
    world = await held()
    whole = world.cluster.secrets[KEY]
    kept = dict(whole.annotations)
    if taken.get("annotations"):
        taken = {"annotations": {**kept, **taken["annotations"]}}
    world.cluster.user_writes_secret(SHOP, NAME, **taken)
    if restarted:
        world.crash()
    await world.settle()
    found = world.cluster.secrets[KEY]
    assert (world.ready, world.count("issue")) == ("Ready", 1)
    assert found.labels == whole.labels
    assert found.annotations.items() >= {k: v for k, v in kept.items() if v}.items()
    assert found.owner_uids == whole.owner_uids


@pytest.mark.parametrize("name", [NAME, "stranger"])
async def test_a_secret_that_got_a_strangers_marks_is_taken_back_without_an_issue(
    name: str,
) -> None:
    world = await held()
    notes = {**world.cluster.secrets[KEY].annotations, names.OWNER_NAME: name}
    world.cluster.user_writes_secret(
        SHOP, NAME, labels={names.OWNER_UID: "strange"}, annotations=notes
    )
    mine, world.holder = world.holder, Holder(namespace=SHOP, name=name, uid="strange")
    await world.settle()
    assert KEY in world.cluster.secrets
    world.holder = mine
    await world.settle()
    found = world.cluster.secrets[KEY]
    assert found.labels[names.OWNER_UID] == mine.uid
    assert found.annotations[names.OWNER_NAME] == NAME
    assert (world.ready, world.count("issue")) == ("Ready", 1)


async def test_a_secret_that_got_a_neighbours_marks_is_left_by_it_and_taken_back() -> None:
    world = await held()
    mine, memory = world.holder, world.memory
    other = world.cluster.user_applies(manifest("other")).holder
    world.holder, world.memory = other, type(memory)()
    await world.settle()
    notes = {**world.cluster.secrets[KEY].annotations, names.OWNER_NAME: "other"}
    world.cluster.user_writes_secret(
        SHOP, NAME, labels={names.OWNER_UID: other.uid}, annotations=notes
    )
    await world.settle()
    assert {*world.cluster.secrets} == {KEY, OTHER}
    world.holder, world.memory = mine, memory
    await world.settle()
    assert world.cluster.secrets[KEY].labels[names.OWNER_UID] == mine.uid
    assert (world.ready, world.count("issue")) == ("Ready", 2)


@pytest.mark.parametrize("namespace", [SHOP, "elsewhere"])
async def test_a_uid_written_on_a_foreign_secret_does_nothing_to_the_lease_of_that_uid(
    namespace: str,
) -> None:
    world = await held()
    stranger = Holder(namespace=namespace, name="stranger", uid=world.holder.uid)
    world.cluster.user_writes_secret(
        namespace,
        "theirs",
        labels={names.OWNER_UID: stranger.uid},
        annotations={names.OWNER_NAME: stranger.name},
    )
    world.holder, world.memory = stranger, type(world.memory)()
    await world.settle()
    assert world.records == [("Held", "lease-1")]
    assert [*world.provider.live] == ["lease-1"]
    assert KEY in world.cluster.secrets


async def test_a_secret_with_a_uid_and_without_a_name_is_left_alone_and_costs_no_list() -> None:
    world = World()
    world.cluster.user_writes_secret(*KEY, labels={names.OWNER_UID: "nobody"})
    await world.settle()
    assert world.ready == Reason.NOT_OURS
    assert world.count("list dynamicleases") == 0


def copied(world: World, namespace: str, name: str, **changes: Any) -> tuple[str, str]:
    """A copy of the Secret, marks and values and all, as replicators make them."""
    whole = world.cluster.secrets[KEY]
    world.cluster.user_writes_secret(
        namespace,
        name,
        labels=whole.labels,
        annotations=whole.annotations,
        owner_uids=changes.get("owner_uids", ()),
        values=dict(world.cluster.values[KEY]),
    )
    return namespace, name


@pytest.mark.parametrize("owned", [False, True])
@pytest.mark.parametrize("then", ["rotated", "deleted", "vanished", "renamed"])
async def test_a_copy_that_somebody_made_is_left_alone(then: str, owned: bool) -> None:
    world = await held()
    owners = {"owner_uids": (world.holder.uid, "another") if owned else ()}
    copies = [copied(world, SHOP, "copy", **owners), copied(world, "elsewhere", NAME)]
    before = [world.cluster.secrets[copy] for copy in copies]
    if then == "rotated":
        write(world, DB_PASSWORD="edited")
    elif then == "deleted":
        world.cluster.user_deletes(*KEY)
    elif then == "vanished":
        world.cluster.vanish(*KEY)
    else:
        world.cluster.user_applies(manifest(target={"secretName": "other"}))
    await world.settle()
    await world.settle(after=600)
    assert [world.cluster.secrets.get(copy) for copy in copies] == before
    assert (KEY in world.cluster.secrets) is (then == "rotated")
    assert (OTHER in world.cluster.secrets) is (then == "renamed")
    stranger = Holder(namespace="elsewhere", name=NAME, uid=world.holder.uid)
    world.holder, world.memory = stranger, type(world.memory)()
    await world.settle()
    assert [world.cluster.secrets.get(copy) for copy in copies] == before


async def test_a_dynamiclease_that_wants_the_name_of_a_copy_says_that_it_is_not_ours() -> None:
    world = await held()
    copy = copied(world, SHOP, "other")
    before = world.cluster.secrets[copy]
    other = world.cluster.user_applies(manifest("other")).holder
    world.holder, world.memory = other, type(world.memory)()
    await world.settle()
    assert world.cluster.leases[OTHER].status.conditions[0].reason == "SecretNotOurs"
    assert world.cluster.secrets[copy] == before


async def test_of_many_secrets_with_our_marks_few_are_read() -> None:
    world = await held()
    for number in range(100):
        name = f"forged-{number}"
        marks = {names.SECRET: f"{SHOP}/{name}", names.OWNER_NAME: NAME}
        world.cluster.user_writes_secret(
            SHOP,
            name,
            labels={names.OWNER_UID: world.holder.uid},
            annotations=marks,
            values={"FILL": "x" * 1000},
        )
    read = world.count("get secret")
    view, _ = await world.look()
    assert world.count("get secret") - read <= 3
    assert sum(secret.is_read for secret in view.secrets) <= 3
    assert len(view.secrets) <= MOST_OWNED + 1


async def test_foreign_keys_go_without_an_issue() -> None:
    world = await held()
    before = dict(world.cluster.values[KEY])
    write(world, THEIRS="x")
    await world.settle()
    assert (world.cluster.values[KEY], world.count("issue")) == (before, 1)


async def test_who_keeps_taking_marks_off_is_answered_more_slowly_each_time() -> None:
    world = await held()
    repaired = 0
    for _ in range(8):
        world.cluster.user_writes_secret(SHOP, NAME, labels={names.OWNER_UID: world.holder.uid})
        await world.settle(after=1)
        repaired = world.count("write secret") - 1
    assert 1 < repaired < 5
    await world.settle(after=300)
    assert names.MANAGED_BY in world.cluster.secrets[KEY].labels
    await world.settle(after=2000)
    world.cluster.user_writes_secret(SHOP, NAME, labels={names.OWNER_UID: world.holder.uid})
    await world.settle()
    assert names.MANAGED_BY in world.cluster.secrets[KEY].labels


async def test_a_renamed_secret_is_copied_not_issued() -> None:
    world = await held()
    values = dict(world.cluster.values[KEY])
    world.cluster.user_applies(manifest(target={"secretName": "other"}))
    await world.settle()
    assert world.cluster.values == {OTHER: values}
    assert world.count("issue") == 1
    assert world.records == [("Held", "lease-1")]


async def test_a_lease_under_a_former_name_is_held_until_the_copy_is_made() -> None:
    world = await held()
    world.cluster.user_writes_secret(SHOP, "other", values={"THEIRS": "x"})
    world.cluster.user_applies(manifest(target={"secretName": "other"}))
    await world.settle()
    assert (world.ready, world.count("issue")) == ("SecretNotOurs", 1)
    assert world.secret == "lease-1"
    before = world.provider.live["lease-1"].expires_at
    await world.settle(after=2500)
    assert world.provider.live["lease-1"].expires_at > before
    del world.cluster.secrets[OTHER], world.cluster.values[OTHER]
    await world.settle()
    assert (world.ready, [*world.cluster.secrets]) == ("Ready", [OTHER])
    assert world.count("issue") == 1


async def test_an_edited_secret_is_not_copied() -> None:
    world = await held()
    write(world, DB_PASSWORD="edited")
    world.cluster.user_applies(manifest(target={"secretName": "other"}))
    await world.settle()
    assert world.cluster.values[OTHER]["DB_PASSWORD"] == "x"
    assert world.count("issue") == 2


async def test_a_changed_template_is_rendered_anew_without_an_issue() -> None:
    world = await held()
    world.cluster.user_applies(templated(**URL))
    await world.settle()
    assert world.cluster.values[KEY]["URL"] == "db://lease-1"
    world.cluster.user_applies(templated(data={"OTHER": "{{ DB_PASSWORD }}"}))
    await world.settle()
    assert {*world.cluster.values[KEY]} == {"DB_USERNAME", "DB_PASSWORD", "OTHER"}
    world.cluster.user_applies(manifest())
    await world.settle()
    assert {*world.cluster.values[KEY]} == {"DB_USERNAME", "DB_PASSWORD"}
    assert world.count("issue") == 1


async def test_a_template_whose_variables_are_not_at_hand_costs_a_new_lease() -> None:
    world = await held(target={"template": {**URL, "mergePolicy": "Replace"}})
    assert world.cluster.values[KEY] == {"URL": "db://lease-1"}
    world.cluster.user_applies(templated(**URL))
    await world.settle()
    assert (world.secret, world.count("issue")) == ("lease-2", 2)
    assert world.records[0] == ("Superseded", "lease-1")


async def test_a_replaced_secret_is_copied_as_it_is() -> None:
    template = {**URL, "mergePolicy": "Replace"}
    world = await held(target={"template": template})
    world.cluster.user_applies(manifest(target={"template": template, "secretName": "other"}))
    await world.settle()
    assert world.cluster.values == {OTHER: {"URL": "db://lease-1"}}
    assert world.count("issue") == 1


@pytest.mark.parametrize("text", ["{{ 1 + 1 }}", "{{ NO_SUCH_KEY }}"])
async def test_a_template_that_fails_leaves_the_secret_and_its_lease_alone(text: str) -> None:
    world = await held()
    values = dict(world.cluster.values[KEY])
    world.cluster.user_applies(templated(data={"URL": text}))
    await world.settle()
    assert world.ready == "TemplateInvalid"
    assert (world.cluster.values[KEY], world.count("issue")) == (values, 1)
    before = world.provider.live["lease-1"].expires_at
    await world.settle(after=2500)
    assert world.provider.live["lease-1"].expires_at > before
    world.cluster.user_applies(manifest())
    await world.settle()
    assert (world.ready, world.count("issue")) == ("Ready", 1)


async def test_nothing_is_issued_for_a_template_that_can_not_be_read() -> None:
    world = World()
    world.cluster.user_applies(templated(data={"URL": "{{ 1 + 1 }}"}))
    await world.settle()
    assert (world.ready, world.count("issue")) == ("TemplateInvalid", 0)


async def test_a_lease_whose_template_lacks_a_key_waits_for_a_better_template() -> None:
    world = World()
    world.cluster.user_applies(templated(data={"URL": "{{ NO_SUCH_KEY }}"}))
    await world.settle()
    await world.settle(after=60)
    assert (world.ready, world.count("issue")) == ("TemplateInvalid", 1)
    world.cluster.user_applies(templated(**URL))
    await world.settle()
    assert (world.ready, world.count("issue")) == ("Ready", 1)


async def test_a_source_and_a_template_that_needs_its_keys_are_changed_together() -> None:
    world = await held()
    world.provider.values = {"username": "u", "password": "p"}
    source = {**SPEC["infisical"], "dynamicSecretName": "other"}
    url = {"template": {"data": {"URL": "{{ username }}"}}}
    world.cluster.user_applies(manifest(infisical=source, target=url))
    await world.settle()
    assert (world.ready, world.cluster.values[KEY]["URL"]) == ("Ready", "u")
    assert world.records == [("Superseded", "lease-1"), ("Held", "lease-2")]


async def test_a_new_lease_is_commanded_for_a_template_that_needs_its_keys() -> None:
    world = await held()
    world.provider.values = {"username": "u", "password": "p"}
    world.cluster.user_applies(templated(data={"URL": "{{ username }}"}))
    await world.settle()
    assert (world.ready, world.count("issue")) == ("TemplateInvalid", 1)
    rotate = {names.ROTATE: "1"}
    url = {"template": {"data": {"URL": "{{ username }}"}}}
    world.cluster.user_applies(manifest(annotations=rotate, target=url))
    await world.settle()
    assert (world.ready, world.cluster.values[KEY]["URL"]) == ("Ready", "u")
    assert world.dl.status.handled == Handled(rotate="1")


async def test_a_template_that_no_commanded_lease_fits_costs_one_and_leaves_the_secret() -> None:
    world = await held()
    values = dict(world.cluster.values[KEY])
    url = {"template": {"data": {"URL": "{{ NO_SUCH_KEY }}"}}}
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "1"}, target=url))
    for _ in range(20):
        await world.settle(after=300)
    assert (world.ready, world.count("issue")) == ("TemplateInvalid", 2)
    assert world.cluster.values[KEY] == values
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "1"}))
    await world.settle()
    assert (world.ready, world.secret, world.count("issue")) == ("Ready", "lease-2", 2)


@pytest.mark.parametrize("rotated", [False, True])
async def test_a_lease_that_no_secret_takes_gives_way_to_the_one_that_is_wanted_by_now(
    rotated: bool,
) -> None:
    world = World()
    url = {"template": {"data": {"URL": "{{ username }}"}}}
    world.cluster.user_applies(manifest(target=url))
    await world.settle()
    assert (world.ready, world.records) == ("TemplateInvalid", [("Held", "lease-1")])
    await world.settle(after=2500)
    world.provider.values = {"username": "u", "password": "p"}
    source = {**SPEC["infisical"], **({} if rotated else {"dynamicSecretName": "other"})}
    rotate = {names.ROTATE: "1"} if rotated else {}
    world.cluster.user_applies(manifest(annotations=rotate, infisical=source, target=url))
    world.memory.poked = True
    await world.settle()
    assert (world.ready, world.cluster.values[KEY]["URL"]) == ("Ready", "u")
    await world.settle(after=60)
    assert (world.records, [*world.provider.live]) == ([("Held", "lease-2")], ["lease-2"])


async def test_a_new_source_that_is_taken_back_before_its_lease_fits_leaves_the_old_lease() -> None:
    world = await held(target={"template": URL})
    world.provider.values = {"username": "u", "password": "p"}
    source = {**SPEC["infisical"], "dynamicSecretName": "other"}
    world.cluster.user_applies(manifest(infisical=source, target={"template": URL}))
    await world.settle()
    assert (world.ready, world.count("issue")) == ("TemplateInvalid", 2)
    world.cluster.user_applies(manifest(target={"template": URL}))
    await world.settle()
    await world.settle(after=60)
    assert (world.ready, world.secret, world.count("issue")) == ("Ready", "lease-1", 2)
    assert (world.records, [*world.provider.live]) == ([("Held", "lease-1")], ["lease-1"])


async def test_while_suspended_a_lease_that_no_secret_takes_is_kept() -> None:
    world = World()
    url = {"template": {"data": {"URL": "{{ username }}"}}}
    world.cluster.user_applies(manifest(target=url))
    await world.settle()
    rotate = {names.ROTATE: "1"}
    world.cluster.user_applies(manifest(annotations=rotate, suspend=True, target=url))
    await world.settle(after=2500)
    assert world.records == [("Held", "lease-1")]


async def test_a_label_that_left_the_template_leaves_the_secret() -> None:
    world = await held(target={"template": {"metadata": {"labels": {"team": "shop"}}}})
    assert world.cluster.secrets[KEY].labels["team"] == "shop"
    world.cluster.user_applies(manifest())
    await world.settle()
    assert "team" not in world.cluster.secrets[KEY].labels


async def test_while_suspended_nothing_is_healed_copied_or_repaired() -> None:
    world = await held()
    world.cluster.user_applies(manifest(suspend=True, target={"secretName": "other"}))
    delete(world)
    await world.settle()
    assert (world.ready, world.cluster.secrets) == ("Suspended", {})
    before = world.provider.live["lease-1"].expires_at
    await world.settle(after=2500)
    assert world.provider.live["lease-1"].expires_at > before
    assert world.records == [("Held", "lease-1")]
    world.cluster.user_applies(manifest())
    await world.settle()
    assert (world.ready, world.secret) == ("Ready", "lease-2")


async def test_the_older_of_two_dynamic_leases_gets_the_secret() -> None:
    world = World()
    world.clock.move(60)
    younger = world.cluster.user_applies(manifest("younger", target={"secretName": NAME}))
    older, world.holder = world.holder, younger.holder
    mine, world.memory = world.memory, type(world.memory)()
    await world.settle()
    assert world.secret == "lease-1"
    world.holder, world.memory, theirs = older, mine, world.memory
    await world.settle()
    assert (world.ready, world.secret) == ("Ready", "lease-2")
    world.holder, world.memory = younger.holder, theirs
    await world.settle()
    found = world.cluster.leases[SHOP, "younger"].status.conditions
    assert [c.reason for c in found if c.type == "Ready"] == ["SecretNotOurs"]
    assert world.secret == "lease-2"
    assert {one.state for one in world.cluster.recorded} == {State.HELD}


FORGED = [
    {names.CONTENTS: '{"own":["DB_PASSWORD","GHOST"],"seal":"00000000000000000000000000000000"}'},
    {names.CONTENTS: '{"seal":"é"}'},
    {names.LEASE_ID: "another"},
    {names.ATTEMPT: "lease-uid1-99"},
]


@pytest.mark.parametrize("forged", FORGED)
async def test_forged_marks_neither_issue_nor_stop_anything(forged: dict[str, str]) -> None:
    world = await held()
    notes = dict(world.cluster.secrets[KEY].annotations)
    world.cluster.user_writes_secret(SHOP, NAME, annotations={**notes, **forged})
    await world.settle()
    assert (world.ready, world.count("issue")) == ("Ready", 1)
    assert world.cluster.secrets[KEY].annotations == notes
    before = world.provider.live["lease-1"].expires_at
    await world.settle(after=2500)
    assert world.provider.live["lease-1"].expires_at > before


async def test_who_changes_our_labels_on_each_write_gets_few_writes() -> None:
    world = await held()
    world.cluster.user_applies(manifest(target={"template": {"metadata": {"labels": {"a": "b"}}}}))
    for _ in range(10):
        world.cluster.user_writes_secret(SHOP, NAME, labels={names.OWNER_UID: world.holder.uid})
        await world.settle(after=1)
    assert world.count("write secret") < 8
    assert world.dl.status.observed_generation == world.dl.metadata.generation


async def test_a_copy_that_is_refused_does_not_cost_the_lease() -> None:
    world = await held()
    refused = errors.Refused(Reason.WRITE_REFUSED, "a policy says no")
    world.cluster.before("write secret", *[refused] * 99)
    world.cluster.user_applies(manifest(target={"secretName": "other"}))
    for _ in range(60):
        await world.settle(after=120)
    assert world.count("issue") == 1
    assert "lease-1" in world.provider.live
    assert world.provider.live["lease-1"].expires_at > world.clock.wall()


async def test_a_former_secret_that_may_not_be_deleted_is_told_and_stops_nothing() -> None:
    world = await held()
    refused = errors.Refused(Reason.WRITE_REFUSED, "a policy says no")
    world.cluster.before("delete secret", *[refused] * 99)
    world.cluster.user_applies(manifest(target={"secretName": "other"}))
    await world.settle()
    assert world.ready == "SecretWriteRefused"
    before = world.provider.live["lease-1"].expires_at
    await world.settle(after=2500)
    assert world.provider.live["lease-1"].expires_at > before
    world.cluster.user_applies(
        manifest(target={"secretName": "other"}, annotations={names.ROTATE: "now"})
    )
    await world.settle(after=600)
    assert world.cluster.values[OTHER]["DB_USERNAME"] == "lease-2"


async def test_an_orphan_keeps_its_secret_although_our_label_was_changed() -> None:
    world = await held(deletion={"policy": "Orphan"})
    world.cluster.user_writes_secret(SHOP, NAME, labels={names.OWNER_UID: "stranger"})
    world.cluster.user_deletes(SHOP, NAME)
    assert await world.settle() == actions.Release()
    assert world.cluster.secrets[KEY].owner_uids == ()
    assert [*world.provider.live] == ["lease-1"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_one_made_again_takes_over_the_lease_of_a_secret_without_label_and_owner(
    restarted: bool,
) -> None:
    world = await held()
    world.cluster.user_writes_secret(SHOP, NAME, labels={}, owner_uids=())
    del world.cluster.leases[KEY]
    world.holder = world.cluster.user_applies(manifest()).holder
    if restarted:
        world.crash()
    await world.settle()
    assert [*world.provider.live] == ["lease-1"]
    assert world.recorded.holder_uid == world.holder.uid
    assert world.cluster.secrets[KEY].owner_uids == (world.holder.uid,)
    assert (world.ready, world.count("issue")) == ("Ready", 1)


@pytest.mark.parametrize("edited", [False, True])
async def test_the_lease_of_a_secret_that_lost_its_notes_lives_out_its_overlap_after_a_restore(
    edited: bool,
) -> None:
    world = await held()
    values = {"DB_PASSWORD": "edited"} if edited else {}
    world.cluster.user_writes_secret(
        SHOP, NAME, annotations={}, values={**world.cluster.values[KEY], **values}
    )
    lost = world.cluster.leases[KEY].model_copy(update={"status": DynamicLeaseStatus()})
    world.cluster.leases[KEY] = lost
    world.crash()
    await world.settle()
    assert (world.ready, world.secret) == ("Ready", "lease-2")
    assert world.records == [("Superseded", "lease-1"), ("Held", "lease-2")]


async def test_one_made_again_goes_on_with_a_lease_that_was_renewed_past_its_record() -> None:
    world = await held()
    for _ in range(3):
        await world.settle(after=2400)
    secret, values = world.cluster.secrets[KEY], world.cluster.values[KEY]
    world.cluster.vanish(*KEY)
    world.cluster.secrets[KEY], world.cluster.values[KEY] = secret, values
    world.holder = world.cluster.user_applies(manifest()).holder
    world.crash()
    await world.settle()
    assert [*world.provider.live] == ["lease-1"]
    assert (world.ready, world.secret, world.count("issue")) == ("Ready", "lease-1", 1)


async def test_a_lease_that_ended_meanwhile_is_not_ready_when_one_made_again_takes_it_over() -> (
    None
):
    world = await held()
    secret, values = world.cluster.secrets[KEY], world.cluster.values[KEY]
    world.cluster.vanish(*KEY)
    world.cluster.secrets[KEY], world.cluster.values[KEY] = secret, values
    world.provider.live.clear()
    world.holder = world.cluster.user_applies(manifest()).holder
    world.crash()
    world.clock.move(120)
    told = []
    for _ in range(12):
        await world.step()
        told += [world.ready] if world.dl.status.conditions else []
    assert "Ready" not in told
    for _ in range(3):
        await world.settle(after=6)
    assert (world.ready, world.secret) == ("Ready", "lease-2")


async def test_within_a_minute_a_dynamic_lease_that_is_gone_keeps_its_lease() -> None:
    world = await held()
    world.cluster.vanish(*KEY)
    await world.settle()
    await world.settle(after=59)
    assert world.records == [("Held", "lease-1")]
    await world.settle(after=1)
    assert (world.records, world.provider.live, world.cluster.ledger) == ([], {}, {})


async def test_a_secret_that_is_wanted_again_since_the_look_is_not_deleted() -> None:
    world = await held()
    world.cluster.user_applies(manifest(target={"secretName": "other"}))
    view, step = await world.upto(actions.DeleteSecret)
    world.cluster.user_applies(manifest())
    await world.performer.perform(view, step)
    assert world.secret == "lease-1"
