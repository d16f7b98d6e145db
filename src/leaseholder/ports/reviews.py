"""Whose a bearer token is, and what they may do, by the API server's word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from leaseholder.secrecy import Hidden


@dataclass(frozen=True, slots=True)
class User:
    """Somebody as the API server knows them, by a token."""

    name: str
    uid: str = ""
    groups: Sequence[str] = ()
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Reviews(Protocol):
    """Asks the API server about tokens that others send to us."""

    async def authenticate(self, token: Hidden) -> User | None:
        """Whose a token is; None: nobody's, or not for the API server (TokenReview).

        Raises:
            ClusterError: nobody knows.
        """
        ...

    async def may_get(self, user: User, path: str) -> bool:
        """Whether somebody may ``get`` a URL that is no resource (SubjectAccessReview).

        Raises:
            ClusterError: nobody knows.
        """
        ...
