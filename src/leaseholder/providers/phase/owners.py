"""Whose leases are ours: the account behind the token.

A lease's own answer says it, and at most servers the token can be asked. What was learned holds for
that token only: another one may be another account's.
"""

import contextlib
from collections.abc import Mapping
from typing import Any, Final

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.clock import Clock
from leaseholder.providers.kit import login, requests
from leaseholder.providers.kit.requests import Rank
from leaseholder.providers.phase import api, refusals
from leaseholder.providers.phase.login import is_personal
from leaseholder.secrecy import Hidden

_ASK_AGAIN_SECONDS: Final = 300.0


class Owners:
    """Knows the account behind the token, or finds out."""

    def __init__(self, account: login.Login, base_url: str, clock: Clock, timeout: float) -> None:
        self._login = account
        self._path = api.tokens(base_url)
        self._now = clock.monotonic
        self._timeout = timeout
        self._learned: tuple[Hidden, str] | None = None
        self._ask_from = 0.0
        self._asked: Hidden | None = None
        """The token that was last asked about."""
        self._unanswered = False

    def learn(self, lease: api.PhaseLease, *, ours: bool) -> None:
        """Take note of a lease's owner.

        Args:
            lease: as the server showed it.
            ours: this token made it just now; else it is one of our records', which tells
                something only where nothing is known.
        """
        if lease.owner is not None and (ours or self._known() is None):
            self._note(lease.owner.data.id)

    async def known(self) -> str | None:
        """The account's id; None where nothing told it yet."""
        if self._is_due:
            with contextlib.suppress(errors.Unavailable, errors.Throttled):
                await self._ask()
        return self._known()

    async def certain(self) -> str | None:
        """The same, but None only where the server doesn't tell.

        Raises:
            Unavailable, Throttled: it wasn't answered; the next one to ask may be.
        """
        if self._is_due or (self._unanswered and self._known() is None):
            await self._ask()
        return self._known()

    async def check(self, notes: Mapping[str, Any]) -> None:
        """See that a lease which isn't shown isn't there: a role may show none of other accounts.

        Raises:
            Denied: the token is another account's than the one that took the lease.
            Unavailable, Throttled: whose it is wasn't answered.
        """
        owner = notes.get("owner")
        if owner is None or notes.get("personal") is True or is_personal(self._login.held):
            return  # a member has one id as an owner and another one as a user
        mine = await self.certain()
        if mine is not None and mine != owner:
            sentence = (
                "Phase shows no such lease, but the token is another account's than the one that "
                "took it: log in with a token of the same service account"
            )
            raise errors.Denied(Reason.DENIED, sentence)

    @property
    def _is_due(self) -> bool:
        """Whether it is time to ask: seldom, unless it is another token."""
        is_time = self._now() >= self._ask_from or self._login.held != self._asked
        return is_time and self._known() is None

    async def _ask(self) -> None:
        """Ask whose token it is; where the server doesn't tell, leases will.

        Raises:
            Unavailable, Throttled: there was no answer.
        """
        self._ask_from = self._now() + _ASK_AGAIN_SECONDS
        self._asked, self._unanswered = self._login.held, True
        request = requests.Request(
            operation="whoami",
            path=self._path,
            timeout=self._timeout,
            rank=Rank.ISSUE,
        )
        answer = await self._login.send(request)
        self._asked = self._login.held
        if answer.status == 429:
            raise refusals.ERRORS.error(answer)
        self._unanswered = False
        found = answer.parse(api.Whoami) if answer.status == 200 else None
        account = (found.account_id or found.user_id) if found is not None else None
        if account is not None:
            self._note(account)

    def _known(self) -> str | None:
        token = self._login.held
        if self._learned is None or token is None or self._learned[0] != token:
            return None
        return self._learned[1]

    def _note(self, account: str) -> None:
        token = self._login.held
        if token is not None:
            self._learned = token, account


async def let_in(account: login.Login, timeout: float) -> None:
    """See that Phase answers and takes the token, by the list of apps; nothing of it is wanted.

    Raises:
        ProviderError: the server doesn't answer, or doesn't take the token.
    """
    answer = await account.send(
        requests.Request(
            operation="status",
            path=api.APPS,
            timeout=timeout,
            rank=Rank.CHECK,
            lists=True,
        )
    )
    # Listing apps is a right of its own: who lacks only that is let in.
    if refusals.lacks_right(answer):
        return
    if answer.status != 200:
        raise refusals.ERRORS.error(answer)
    if not await answer.has_rows(under="data"):
        raise refusals.ERRORS.bad(answer, sent=False)


def unknown(what: str) -> errors.Unavailable:
    """What an adapter can't tell as long as nobody knows whose leases are ours."""
    sentence = (
        f"{what}, but Phase hasn't said yet which leases are this account's: the next lease that "
        "it makes will tell"
    )
    return errors.Unavailable(Reason.UNCLEAR, sentence, sent=False)
