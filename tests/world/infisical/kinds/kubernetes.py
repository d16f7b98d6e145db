"""kubernetes: a ServiceAccount token.

A renewal says 200 and does nothing: the token was signed with its expiry and dies then. In
``dynamic`` mode a revocation deletes the ServiceAccount and with it the token; in ``static`` mode
it does nothing either.
"""

from collections.abc import Mapping

from tests.world.infisical import errors
from tests.world.infisical.kinds import base


class Kubernetes(base.Booked):
    """Tokens that end when they were told to."""

    async def create(self, order: base.Order) -> base.Outcome:
        _check_namespace(order.inputs, order.config)
        token = f"ey{base.random_text(34)}.{base.random_text(80)}.{base.random_text(60)}"
        entity = base.random_text(32)
        self.book.add(token, entity, dies_at=order.expire_at)
        return base.Outcome(entity_id=entity, data={"TOKEN": token}, witness=token)

    async def renew(self, subject: base.Subject, expire_at: float) -> None:
        return None

    async def revoke(self, subject: base.Subject) -> None:
        if subject.inputs.get("credentialType", "dynamic") == "dynamic":
            self.remove(subject, what=f'serviceaccounts "{subject.entity_id}"')


def _check_namespace(inputs: Mapping[str, object], config: object) -> None:
    """A lease may ask for a namespace, among those that the dynamic secret allows."""
    wanted = config.get("namespace") if isinstance(config, Mapping) else None
    allowed = [name.strip() for name in str(inputs.get("namespace", "")).split(",") if name.strip()]
    if wanted and allowed and wanted not in allowed:
        raise errors.bad_request(
            f"Failed to create lease from provider: Namespace {wanted} is not allowed."
            f" Allowed namespaces: {', '.join(allowed)}"
        )
