"""What is kept in memory of a lease: once, where its record says the same."""

import dataclasses

from leaseholder.core.memory import LeaseMemory
from leaseholder.ports.provider import Lease
from tests.unit.core import views


def test_what_a_provider_shows_as_it_is_on_record_is_kept_once() -> None:
    memory = LeaseMemory()
    record = views.record().but(source={"path": "/"}, handle={"type": "sql"})
    shown = Lease(
        id=record.lease_id,
        source={"path": "/"},
        issued_at=views.NOW,
        expires_at=views.at(3600),
        handle={"type": "sql"},
    )
    known = memory.know(record, shown)
    assert known == memory.shown == shown
    assert known.source is record.source
    assert known.handle is record.handle
    other = dataclasses.replace(shown, handle={"type": "sql", "renewable": False})
    assert memory.know(record, other) == memory.shown == other
