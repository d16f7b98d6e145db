"""Records in memory, and the indexes by which they are found."""

from leaseholder.api import base
from leaseholder.api.record import LeaseRecord, RecordSpec, Subject
from leaseholder.controller.shelf import Shelf
from tests.unit.core import views

ADDRESS = "https://infisical.example"


def page(name: str, *numbers: int) -> LeaseRecord:
    of = Subject(namespace="shop", namespace_uid="shop", name=name)
    leases = tuple(map(views.record, numbers))
    spec = RecordSpec(for_=of, installation="cluster/leaseholder", leases=leases)
    return LeaseRecord(metadata=base.ObjectMeta(name=name), spec=spec)


def test_an_id_is_held_as_long_as_it_is_on_any_record() -> None:
    shelf = Shelf()
    shelf.keep(page("orders", 1, 2))
    shelf.keep(page("billing", 1))
    shelf.drop("billing")
    assert shelf.holds(ADDRESS, "lease-1")
    shelf.keep(page("orders", 2))
    assert not shelf.holds(ADDRESS, "lease-1")
    assert shelf.holds(ADDRESS, "lease-2")
    assert not shelf.holds("https://other.example", "lease-2")
