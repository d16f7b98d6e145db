import pytest

from leaseholder.api import names, provider
from leaseholder.api.lease import DynamicLease, DynamicLeaseStatus
from leaseholder.cluster import patches
from tests.unit.core import views


def test_the_secret_is_named_like_the_lease_unless_it_is_said_otherwise() -> None:
    assert views.lease().secret_name == "orders"
    assert views.lease({"target": {"secretName": "db"}}).secret_name == "db"


def test_a_lease_names_its_holder_by_uid() -> None:
    assert views.lease().holder == views.HOLDER


def test_a_lease_with_a_deletion_timestamp_is_on_its_way_out() -> None:
    assert not views.lease().deleting
    assert views.lease(deleted_at=views.NOW).deleting


def test_a_command_is_an_annotation() -> None:
    dl = views.lease(annotations={names.FORCE: "now"})
    assert (dl.command(names.FORCE), dl.command(names.RENEW)) == ("now", "")


def test_fields_that_the_api_server_adds_are_ignored() -> None:
    seen = views.lease().model_dump(by_alias=True)
    seen["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    assert DynamicLease.model_validate(seen) == views.lease()


@pytest.mark.parametrize(
    "status", [{"lease": {"strategy": "AddedLater"}}, {"conditions": [{}] * 17}, {"retry": 1}, []]
)
def test_a_status_that_can_not_be_read_counts_as_lost(status: object) -> None:
    seen = {**views.lease().model_dump(by_alias=True), "status": status}
    assert patches.read(DynamicLease, seen).status == DynamicLeaseStatus()


def test_a_record_keeps_references_to_credentials_and_no_values() -> None:
    spec = provider.LeaseProviderSpec.model_validate(
        {
            "infisical": {
                "url": "https://infisical.example",
                "auth": {"tokenAuth": {"tokenSecretRef": {"name": "auth", "key": "token"}}},
            }
        }
    )
    assert provider.auth_of(spec) == {
        "tokenAuth": {"tokenSecretRef": {"name": "auth", "key": "token"}}
    }
    assert provider.auth_of(provider.LeaseProviderSpec()) == {}
