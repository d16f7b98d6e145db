"""ssh: a key and a certificate for it, signed until the lease's first end.

The names that it lets in stand in the lease's config; without one there is no lease. A renewal
and a revocation say 200 and do nothing: a signed certificate can't be called back.
"""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.world.infisical import clock as clocks
from tests.world.infisical import errors
from tests.world.infisical.kinds import base

NO_PRINCIPALS = "SSH lease requires at least one principal in config.principals"


class Ssh(base.Booked):
    """Certificates of one authority, which every host trusts."""

    def __init__(self, clock: clocks.Clock, book: base.Book) -> None:
        super().__init__(clock, book)
        self.authority = ed25519.Ed25519PrivateKey.generate()

    async def create(self, order: base.Order) -> base.Outcome:
        principals = _principals(order.config)
        expiry = base.checked_expiry(order.expire_at, verb="create")
        key, entity = ed25519.Ed25519PrivateKey.generate(), base.random_text(32)
        signed = (
            serialization.SSHCertificateBuilder()
            .public_key(key.public_key())
            .type(serialization.SSHCertificateType.USER)
            .key_id(entity.encode())
            .valid_principals([one.encode() for one in principals])
            .valid_after(int(self.clock.now() / 1000))
            .valid_before(int(expiry / 1000))
            .sign(self.authority)
        )
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        data: dict[str, object] = {
            "PRIVATE_KEY": private.decode(),
            "SIGNED_KEY": signed.public_bytes().decode(),
        }
        witness = str(data["SIGNED_KEY"])
        self.book.add(witness, entity, dies_at=order.expire_at)
        return base.Outcome(entity_id=entity, data=data, witness=witness)

    async def renew(self, subject: base.Subject, expire_at: float) -> None:
        return None

    async def revoke(self, subject: base.Subject) -> None:
        return None


def _principals(config: object) -> list[str]:
    wanted = config.get("principals") if isinstance(config, dict) else None
    found = [one for one in wanted if isinstance(one, str)] if isinstance(wanted, list) else []
    if not found:
        raise errors.bad_request(NO_PRINCIPALS)
    return found
