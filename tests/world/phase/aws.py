"""An imaginary AWS: users with one access key each, and the service that says who a key is.

``GET /__aws/identity`` with the key as basic auth stands for sts:GetCallerIdentity: 200 with the
user's name while the key is alive, 403 with AWS's own code once it isn't, or never was.
"""

import base64
import binascii
import dataclasses
import secrets
import string
from typing import Final

from aiohttp import web

ACCOUNT: Final = "123456789012"
_UPPER: Final = string.ascii_uppercase + string.digits
_ANY: Final = string.ascii_letters + string.digits + "+/"


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """A user and its access key."""

    name: str
    access_key_id: str
    secret_access_key: str = dataclasses.field(repr=False)

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{ACCOUNT}:user/{self.name}"


class Aws:
    """Who there is."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self.strays: list[str] = []
        """Names of users that were made and that the server knows nothing of."""

    def create(self) -> User:
        """A user with a name of 6 to 18 characters, as the default template makes them."""
        length = 6 + secrets.randbelow(13)
        user = User(
            name="".join(secrets.choice(string.ascii_lowercase) for _ in range(length)),
            access_key_id="AKIA" + "".join(secrets.choice(_UPPER) for _ in range(16)),
            secret_access_key="".join(secrets.choice(_ANY) for _ in range(40)),
        )
        self._users[user.name] = user
        return user

    def delete(self, name: str) -> None:
        """It is fine if it is gone already."""
        self._users.pop(name, None)

    def alive(self, name: str) -> bool:
        return name in self._users

    def identify(self, access_key_id: str, secret_access_key: str) -> User | None:
        """Whose key it is; None for one that doesn't log in."""
        found = (one for one in self._users.values() if one.access_key_id == access_key_id)
        user = next(found, None)
        good = user is not None and secrets.compare_digest(
            user.secret_access_key, secret_access_key
        )
        return user if good else None

    def answer(self, request: web.Request) -> web.Response:
        """The identity service."""
        key_id, secret = _basic(request.headers.get("Authorization", ""))
        user = self.identify(key_id, secret)
        if user is not None:
            told = {"Account": ACCOUNT, "Arn": user.arn, "UserId": user.access_key_id}
            return web.json_response(told)
        known = any(one.access_key_id == key_id for one in self._users.values())
        code = "SignatureDoesNotMatch" if known else "InvalidClientTokenId"
        return web.json_response({"Code": code}, status=403)


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        text = base64.b64decode(encoded, validate=True).decode() if scheme == "Basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    key_id, _, secret = text.partition(":")
    return key_id, secret
