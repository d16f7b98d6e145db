"""Ends: whatever a provider says, a lease counts for no longer than was asked for."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from leaseholder.api.conditions import Reason
from leaseholder.api.record import State
from leaseholder.core import ends, revocations
from tests.unit.core import views

SAID = st.one_of(st.none(), st.integers(-(10**9), 3 * 10**10))
TTLS = st.one_of(st.none(), st.integers(60, 5 * 10**6))
LONGEST = int(ends.UNKNOWN_LIFE.total_seconds())


@given(SAID, TTLS, TTLS)
def test_a_lease_to_be_revoked_counts_for_as_long_as_was_asked_and_no_longer(
    said: int | None, asked: int | None, wanted: int | None
) -> None:
    held = views.record(issued=0, expires=said, ttl=asked)
    dl = views.lease({"ttl": f"{wanted // 60}m" if wanted is not None else None})
    seen = views.view(held, dl=dl)
    pending = revocations.begin(seen, held, Reason.GONE).to
    after = views.view(pending, dl=dl)
    last = (ends.last_asked(after, pending) - views.NOW).total_seconds()
    wanted = wanted // 60 * 60 if wanted is not None else None
    known = [one for one in (asked, wanted) if one is not None]
    given_ = min(said, LONGEST) if said is not None and said > 0 else LONGEST
    assert last <= max(known if asked is not None else [*known, given_])
    assert last >= (asked if asked is not None else min(0, given_))
    assert ends.may_live(after, pending) == (last > 0)
    assert not ends.may_live(views.later(after, last), pending)


def test_an_unclear_attempt_counts_for_the_life_that_was_asked_for() -> None:
    lost = views.attempt(state=State.REVOKING, issued=None)
    since = lost.deadline
    assert ends.last_asked(views.view(lost), lost) == since + timedelta(hours=1)


def test_what_is_held_counts_whatever_it_says_of_its_end() -> None:
    for state in (State.ATTEMPT, State.HELD, State.SUPERSEDED):
        over = views.record(1, state, expires=-9999)
        assert ends.may_live(views.view(over), over)
    given_up = views.record(1, State.ABANDONED)
    assert not ends.may_live(views.view(given_up), given_up)
