"""ldap: an account of its own, or the one shared account of the static variant.

Static has a single slot: every create and every revoke resets the one password, so a second lease
breaks the first, and revoking the first breaks the second.
"""

from tests.world.infisical.kinds import base

SUFFIX = "ou=users,dc=example,dc=org"


class Ldap(base.Booked):
    """Directory entries with a password, and DN_ARRAY, which is a list."""

    async def create(self, order: base.Order) -> base.Outcome:
        static = order.inputs.get("credentialType", "dynamic") == "static"
        username = f"shared-{order.secret_id[:8]}" if static else base.random_text(20)
        name = f"uid={username},{SUFFIX}"
        password = base.random_text(44)
        if static:
            self.book.drop_entity(name)
        self.book.add(password, name)
        data: dict[str, object] = {
            "USERNAME": username,
            "PASSWORD": password,
            "DN_ARRAY": [name],
        }
        return base.Outcome(entity_id=name, data=data, witness=password)

    async def renew(self, subject: base.Subject, expire_at: float) -> None:
        return None

    async def revoke(self, subject: base.Subject) -> None:
        if subject.inputs.get("credentialType", "dynamic") == "static":
            self.book.drop_entity(subject.entity_id)
            self.book.add(base.random_text(44), subject.entity_id)
            return
        self.remove(subject, what="No Such Object: entry")
