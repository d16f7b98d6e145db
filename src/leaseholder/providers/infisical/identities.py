"""To whom leases are shown: an identity in an organization, as its access token says.

To another identity, or in another organization, the same slugs may be another project. So that a
lease isn't shown proves nothing to whoever didn't ask for it, and never saw it.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from cachetools import LRUCache

from leaseholder import errors
from leaseholder.api import infisical
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import Lease
from leaseholder.providers.infisical import api, login
from leaseholder.providers.kit.login import Login

_NOTE: Final = "identity"
_REMEMBERED: Final = 1024


class Identities:
    """Knows who is logged in, and who was shown which lease."""

    def __init__(self, account: Login, auth: infisical.InfisicalAuth) -> None:
        self._login = account
        ways = (auth.universal_auth, auth.kubernetes_auth, auth.oidc_auth)
        self._organization = next((way.organization_slug for way in ways if way is not None), None)
        self._shown: LRUCache[str, str] = LRUCache(_REMEMBERED)
        """To which identity leases were shown last, by their id."""

    def note(self) -> dict[str, str]:
        """For a lease's record: who is logged in; none where the token doesn't say."""
        identity = self._current()
        return {_NOTE: identity} if identity else {}

    def shown(self, lease_id: str) -> None:
        """Take note that who is logged in was shown a lease."""
        self._shown[lease_id] = self._current()

    def is_others(self, noted: Mapping[str, Any]) -> bool:
        """Whether notes are of another identity, or for another organization, than is logged in."""
        by = noted.get(_NOTE)
        return by is not None and by != self._current()

    def may_be_hidden(self, lease: Lease) -> bool:
        """Whether a lease that isn't shown may be there: another had it issued."""
        return self.is_others(lease.handle) and self._shown.get(lease.id) != self._current()

    def _current(self) -> str:
        """A hash of whose token it is, and of the organization it is for; empty: it doesn't say."""
        token = self._login.held
        bearer = login.claims(token.reveal(), api.Bearer) if token is not None else None
        if bearer is None or not (bearer.identity_id or bearer.user_id):
            return ""
        whose = [bearer.identity_id, bearer.user_id, bearer.organization_id, self._organization]
        return hashlib.sha256(json.dumps(whose).encode()).hexdigest()[:16]


def not_shown() -> errors.Denied:
    """A lease isn't shown, and may live all the same."""
    sentence = (
        "Infisical shows no such lease to this identity, but another one asked for it, or one of "
        "another organization: log in as that one, or wait for the lease's end"
    )
    return errors.Denied(Reason.DENIED, sentence)
