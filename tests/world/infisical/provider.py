"""The step from the server to the target, where the switches can make it fail.

Every credential that is made is noted, whatever becomes of its lease: that note is how a test finds
the one that a crash left behind.
"""

from collections.abc import Sequence

from tests.world.infisical import emulator as emulators
from tests.world.infisical import errors, state
from tests.world.infisical.kinds import aws, base


async def create(
    world: emulators.Emulator, secret: state.DynamicSecret, *, expire_at: float, config: object
) -> tuple[state.Issued, dict[str, object]]:
    """Make the credential; its data is returned once and kept nowhere."""
    if world.switches.create_error is not None:
        raise errors.bad_request(f"{_create_prefix(secret)}: {world.switches.create_error}")
    order = base.Order(
        secret_id=secret.id,
        inputs=secret.inputs,
        expire_at=expire_at,
        username_template=secret.username_template,
        config=config,
    )
    outcome = await world.kind_of(secret).create(order)
    issued = state.Issued(
        entity_id=outcome.entity_id,
        witness=outcome.witness,
        secret_id=secret.id,
        secret_name=secret.name,
        type=secret.type,
        created_at=world.clock.now(),
        config=config,
    )
    world.issued.append(issued)
    return issued, outcome.data


async def renew(
    world: emulators.Emulator,
    secret: state.DynamicSecret,
    lease: state.Lease,
    *,
    expire_at: float,
) -> None:
    await world.kind_of(secret).renew(_subject(secret, lease), expire_at)


async def revoke(
    world: emulators.Emulator, secret: state.DynamicSecret, lease: state.Lease
) -> None:
    turned = world.switches
    concerned = not turned.revoke_error_names or secret.name in turned.revoke_error_names
    if turned.revoke_error is not None and concerned:
        raise errors.bad_request(turned.revoke_error)
    await world.kind_of(secret).revoke(_subject(secret, lease))


async def living(world: emulators.Emulator, issued: Sequence[state.Issued]) -> set[str]:
    """The witnesses of those that the targets would let in now."""
    found: set[str] = set()
    for name, kind in world.kinds.items():
        of_kind = [one for one in issued if one.type == name]
        if of_kind:
            found |= await kind.living(of_kind)
    return found


def _create_prefix(secret: state.DynamicSecret) -> str:
    """STS has its own words for a failure."""
    temporary = secret.inputs.get("credentialType") == aws.TEMPORARY
    if secret.type == "aws-iam" and temporary:
        return "Failed to create temporary credentials"
    return "Failed to create lease from provider"


def _subject(secret: state.DynamicSecret, lease: state.Lease) -> base.Subject:
    return base.Subject(
        secret_id=secret.id, inputs=secret.inputs, entity_id=lease.external_entity_id
    )
