"""Letting a lease go that the operator gave up: the administrator saw to it at the provider."""

from datetime import UTC, datetime

from leaseholder.api import base, record
from leaseholder.api.record import LeaseRecord, State
from leaseholder.cli.exits import Failed
from leaseholder.cli.session import Session


async def forget(session: Session, attempt: str) -> str:
    """Take an abandoned lease off its record.

    Raises:
        Failed: it isn't on record, wasn't given up, or the record can't be read or written.
    """
    known = await _page(session, attempt)
    lease = known.lease(attempt)
    if lease is None or lease.state is not State.ABANDONED:
        state = lease.state if lease is not None else "gone"
        raise Failed(f"attempt {attempt} is {state}: only an Abandoned lease can be forgotten")
    now = base.whole_second(datetime.now(UTC))
    await session.write(known, record.without(known.spec, attempt, "Forgotten", now))
    of = known.subject
    return f"lease {lease.lease_id} of {of.namespace}/{of.name} is forgotten"


async def _page(session: Session, attempt: str) -> LeaseRecord:
    found, broken = await session.records()
    page = next((one for one in found if one.lease(attempt) is not None), None)
    if page is None:
        unread = f"; {len(broken)} records can't be read" if broken else ""
        where = session.namespace
        raise Failed(f"no LeaseRecord in namespace {where} has attempt {attempt}{unread}: mind -n")
    return page
