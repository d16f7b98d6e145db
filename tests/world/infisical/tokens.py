"""Access tokens: JWTs with a record behind them, in both generations of the server.

*New*: the JWT carries its own expiry, a renewal is a new JWT with the same token id, and even a
token without a configured ttl ends after 90 days. *Old*: the record carries the ttl, a renewal
returns the same string, and a renewal that would pass the maximum deletes the record, killing the
still valid token.
"""

import dataclasses
import secrets
from typing import Final

import jwt

from tests.world.emulation import models
from tests.world.infisical import clock as clocks
from tests.world.infisical import errors, seeds

CEILING_SECONDS: Final = 7_776_000
FOREVER_SECONDS: Final = 1_000_000_000
ALGORITHM: Final = "HS256"
KIND: Final = "identityAccessToken"

EXPIRED: Final = "Your token has expired. Please re-authenticate."
MALFORMED: Final = (
    "The provided access token is malformed."
    " Please use a valid token or generate a new one and try again."
)
BAD_ALGORITHM: Final = (
    "The access token is signed with an invalid algorithm."
    " Please provide a valid token and try again."
)
REVOKED: Final = "Failed to authorize: token has been revoked"
USED_UP: Final = "Failed to authorize: token usage limit reached"


@dataclasses.dataclass(slots=True)
class Record:
    """What the server knows of a token."""

    identity_id: str
    organization: str
    ttl: int
    max_ttl: int
    period: int
    uses_limit: int
    created_at: float
    renewed_at: float
    generation: str
    uses: int = 0
    revoked: bool = False
    id: str = dataclasses.field(default_factory=models.new_id)


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """Who presents a token, and in which organization it counts."""

    identity_id: str
    organization: str


class Tokens:
    """The issuer, and the only one who can tell whether a token is good."""

    def __init__(self, clock: clocks.Clock) -> None:
        self.clock = clock
        self.key = secrets.token_hex(32)
        self.records: dict[str, Record] = {}

    def issue(
        self, identity_id: str, life: seeds.TokenLife, *, organization: str, generation: str
    ) -> dict[str, object]:
        """A login's answer."""
        now = self.clock.now()
        record = Record(
            identity_id=identity_id,
            organization=organization,
            ttl=life.access_token_period or life.access_token_ttl,
            max_ttl=FOREVER_SECONDS if life.access_token_period else life.access_token_max_ttl,
            period=life.access_token_period,
            uses_limit=life.access_token_num_uses_limit,
            created_at=now,
            renewed_at=now,
            generation=generation,
        )
        self.records[record.id] = record
        seconds = self._first_seconds(record)
        return _answer(self._sign(record, seconds), record.ttl, record)

    def authenticate(self, token: str) -> Holder:
        """Who holds this token; every success is one use."""
        record = self.records.get(self._token_id(token))
        if record is None:
            raise errors.unauthorized("No identity access token found")
        if record.revoked:
            raise errors.unauthorized(REVOKED)
        if record.generation == "old":
            self._check_row(record)
        if 0 < record.uses_limit <= record.uses:
            raise errors.unauthorized(USED_UP)
        record.uses += 1
        return Holder(identity_id=record.identity_id, organization=record.organization)

    def renew(self, token: str) -> dict[str, object]:
        record = self.records.get(self._token_id(token, wrong_kind=400))
        if record is None:
            raise errors.unauthorized("No identity access token found")
        return self._renew_old(record, token) if record.generation == "old" else self._renew(record)

    def revoke(self, token: str) -> None:
        record = self.records.get(self._token_id(token))
        if record is None:
            raise errors.unauthorized("No identity access token found")
        record.revoked = True

    def revoke_all(self) -> int:
        """An administrator's broom."""
        for record in self.records.values():
            record.revoked = True
        return len(self.records)

    def _renew(self, record: Record) -> dict[str, object]:
        if record.revoked:
            raise errors.unauthorized("Cannot renew: token has been revoked")
        if 0 < record.uses_limit <= record.uses:
            raise errors.unauthorized("Cannot renew exhausted access token")
        seconds = min(record.ttl or CEILING_SECONDS, CEILING_SECONDS, self._left(record))
        if seconds <= 0:
            raise errors.unauthorized("Cannot renew: identity access token has reached its max TTL")
        record.renewed_at = self.clock.now()
        return _answer(self._sign(record, seconds), seconds, record)

    def _renew_old(self, record: Record, token: str) -> dict[str, object]:
        if record.revoked:
            raise errors.unauthorized(REVOKED)
        self._check_row(record)
        if record.max_ttl and record.ttl > self._left(record):
            del self.records[record.id]
            raise errors.unauthorized("Failed to renew MI access token past its Max TTL expiration")
        record.renewed_at = self.clock.now()
        return _answer(token, record.ttl, record)

    def _check_row(self, record: Record) -> None:
        """The old server's expiry, which lives in the row."""
        if record.ttl and self.clock.now() > record.renewed_at + record.ttl * 1000:
            raise errors.unauthorized("Failed to renew MI access token due to TTL expiration")
        if record.max_ttl and self._left(record) <= 0:
            raise errors.unauthorized("Failed to renew MI access token due to Max TTL expiration")

    def _left(self, record: Record) -> int:
        """Seconds until the record's maximum."""
        if not record.max_ttl:
            return CEILING_SECONDS
        return int((record.created_at + record.max_ttl * 1000 - self.clock.now()) / 1000)

    def _first_seconds(self, record: Record) -> int | None:
        if record.generation == "old":
            return record.max_ttl or None
        return min(record.ttl or CEILING_SECONDS, CEILING_SECONDS)

    def _sign(self, record: Record, seconds: int | None) -> str:
        now = int(self.clock.now() / 1000)
        claims: dict[str, object] = {
            "identityId": record.identity_id,
            "identityAccessTokenId": record.id,
            "authTokenType": KIND,
            "iat": now,
            "jti": models.new_id(),
        }
        if seconds is not None:
            claims["exp"] = now + seconds
        return jwt.encode(claims, self.key, algorithm=ALGORITHM)

    def _token_id(self, token: str, *, wrong_kind: int = 401) -> str:
        """The id inside a token that verifies; each way to fail has its own words."""
        try:
            claims = jwt.decode(
                token,
                self.key,
                algorithms=[ALGORITHM],
                options={"verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidAlgorithmError as failure:
            raise errors.token_error(BAD_ALGORITHM) from failure
        except jwt.InvalidSignatureError as failure:
            raise errors.token_error("invalid signature") from failure
        except jwt.PyJWTError as failure:
            raise errors.token_error(MALFORMED) from failure
        if claims.get("exp", self.clock.now()) * 1000 <= self.clock.now():
            raise errors.token_error(EXPIRED)
        if claims.get("authTokenType") != KIND:
            raise errors.ApiError(
                wrong_kind,
                "BadRequest" if wrong_kind == 400 else "UnauthorizedError",
                "Token is not an identity access token",
            )
        return str(claims["identityAccessTokenId"])


def _answer(token: str, seconds: int, record: Record) -> dict[str, object]:
    return {
        "accessToken": token,
        "expiresIn": seconds,
        "accessTokenMaxTTL": record.max_ttl,
        "tokenType": "Bearer",
    }
