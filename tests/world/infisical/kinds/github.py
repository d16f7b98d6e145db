"""github: an installation token of one hour, whatever the lease says.

It can't be renewed (400) and isn't revoked (200, and nothing happens); PERMISSIONS is an object.
"""

from tests.world.infisical import clock as clocks
from tests.world.infisical import errors, ms
from tests.world.infisical.kinds import base

NO_RENEWAL = "Github dynamic secret does not support renewal"


class Github(base.Booked):
    """Tokens that GitHub ends by itself."""

    async def create(self, order: base.Order) -> base.Outcome:
        token = "ghs_" + base.random_text(36)
        entity = base.random_text(32)
        ends = self.clock.now() + ms.HOUR
        self.book.add(token, entity, dies_at=ends)
        data: dict[str, object] = {
            "TOKEN": token,
            "EXPIRES_AT": clocks.iso(ends),
            "PERMISSIONS": {"contents": "read", "metadata": "read"},
            "REPOSITORY_SELECTION": "all",
        }
        return base.Outcome(entity_id=entity, data=data, witness=token)

    async def renew(self, subject: base.Subject, expire_at: float) -> None:
        raise errors.bad_request(NO_RENEWAL)

    async def revoke(self, subject: base.Subject) -> None:
        return None
