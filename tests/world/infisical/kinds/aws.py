"""aws-iam: temporary STS credentials, or an IAM user.

The two look alike from outside but for SESSION_TOKEN, and differ in everything that matters: STS
credentials can be neither renewed nor revoked, an IAM user lives until it is deleted.
"""

from tests.world.infisical.kinds import base

TEMPORARY = "temporary-credentials"


class Aws(base.Booked):
    """Access keys."""

    async def create(self, order: base.Order) -> base.Outcome:
        key = {"ACCESS_KEY": "AKIA" + base.random_text(16).upper()}
        secret = base.random_text(40)
        entity = base.random_text(32)
        data: dict[str, object] = {**key, "SECRET_ACCESS_KEY": secret}
        if order.inputs.get("credentialType", TEMPORARY) == TEMPORARY:
            session = base.random_text(200)
            self.book.add(session, entity, dies_at=order.expire_at)
            data["SESSION_TOKEN"] = session
            return base.Outcome(entity_id=entity, data=data, witness=session)
        self.book.add(secret, entity)
        data["USERNAME"] = entity
        return base.Outcome(entity_id=entity, data=data, witness=secret)

    async def renew(self, subject: base.Subject, expire_at: float) -> None:
        return None

    async def revoke(self, subject: base.Subject) -> None:
        if subject.inputs.get("credentialType", TEMPORARY) != TEMPORARY:
            self.remove(subject, what=f"The user with name {subject.entity_id}")
