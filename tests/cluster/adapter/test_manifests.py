"""Every manifest that the documentation shows, and every example, before a real API server."""

from collections.abc import Iterator

from tests import pages
from tests.cluster.adapter import objects
from tests.world import kube

KINDS = ("DynamicLease", "LeaseProvider", "ClusterLeaseProvider")


def _shown() -> Iterator[tuple[str, kube.Object]]:
    """Manifests of our kinds, with where they stand."""
    for where, document in pages.documents():
        if "kind" in document:
            yield where, document
        elif "spec" in document:
            yield where, pages.completed(document)
    for path in sorted((pages.ROOT / "deploy/examples").iterdir()):
        for document in kube.documents(path):
            yield path.name, document


async def test_every_manifest_that_is_shown_is_taken(user: kube.Kube, place: objects.Place) -> None:
    refused, taken = {}, 0
    for where, document in _shown():
        if document["kind"] not in KINDS:
            continue
        taken += 1
        name = f"{place.shop}-{taken}"
        spread = {"namespace": place.shop} if document["kind"] != "ClusterLeaseProvider" else {}
        meta = {**document["metadata"], "name": name, **spread}
        try:
            await user.create({**document, "metadata": meta})
        except kube.Refused as error:
            refused[f"{where}: {document['kind']}"] = error.message
        else:
            await user.delete(document["kind"], name, spread.get("namespace", ""))
    assert refused == {}
    assert taken > 20
