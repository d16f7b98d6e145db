"""Secrets: read without their values, written whole and only as they were read.

Flows in: a draft, and the Secret as it was read. Flows out: one write, and the Secret as it is
then. The watch on them is in ``watching``.

An update is a JSON merge patch, not server-side apply: after the POST that made the Secret, keys
stay co-owned by that Update, so an apply would leave those that went; and a patch never creates.
"""

import base64
import binascii
import contextlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import base, lease, names, record
from leaseholder.api.conditions import Reason
from leaseholder.cluster import client, documents, patches, places, refusals
from leaseholder.ports.secrets import MOST_OWNED, SecretDraft, SecretView
from leaseholder.secrecy import Credentials

FENCE: Final = f"{names.GROUP}/fence"
"""Annotation on Secrets: random, changed to move the resourceVersion."""
_LONGEST_ID: Final = 1024
"""As the ledger takes them: what is longer is no lease of ours."""


class KubernetesSecrets:
    """The Secrets that we write."""

    def __init__(self, api: client.Api) -> None:
        self._api = api

    async def get(self, namespace: str, name: str) -> SecretView | None:
        """A Secret, None where there is none."""
        try:
            return view(await self._api.request("GET", places.SECRETS.at(namespace, name)))
        except refusals.NotFound:
            return None

    async def owned(self, namespace: str, uid: str) -> Sequence[SecretView]:
        """The first Secrets that carry our owner label with that uid, without their data."""
        pages = self._api.pages(
            places.SECRETS.at(namespace),
            query={"labelSelector": f"{names.OWNER_UID}={uid}"},
            accept=documents.METADATA_LIST,
        )
        found = await documents.first(pages, MOST_OWNED)
        return [view(item, is_read=False) for item in found]

    async def leases_named(self, namespaces: Iterable[str]) -> frozenset[str]:
        """Ids of leases on the Secrets with our owner label; their data doesn't cross the wire."""
        found: set[str] = set()
        for namespace in namespaces:
            pages = self._api.pages(
                places.SECRETS.at(namespace),
                query={"labelSelector": names.OWNER_UID},
                accept=documents.METADATA_LIST,
            )
            async with contextlib.aclosing(pages):
                async for page in pages:
                    found |= {*_leases_named(page.get("items") or ())}
        return frozenset(found)

    async def write(
        self, draft: SecretDraft, current: SecretView | None, *, dry_run: bool
    ) -> SecretView:
        """Create the Secret, or make ``current`` as drafted."""
        if current is not None:
            return view(await self._patch(current, replacing(draft, current), dry_run=dry_run))
        return view(
            await self._api.request(
                "POST",
                places.SECRETS.at(draft.namespace),
                query=patches.writing(dry_run=dry_run),
                body=creating(draft),
            )
        )

    async def touch(self, current: SecretView) -> None:
        """Move the Secret's resourceVersion."""
        stamp = {FENCE: secrets.token_hex(8)}
        await self._patch(current, {"metadata": {"annotations": stamp}})

    async def disown(self, current: SecretView, owner: str) -> None:
        """Take labels and annotations of ours and the owner of that uid off the Secret."""
        await self._patch(current, disowning(current, owner), content_type=client.STRATEGIC_PATCH)

    async def delete(self, current: SecretView) -> None:
        """Delete the Secret; it is fine if it is gone already."""
        try:
            await self._api.request(
                "DELETE",
                places.SECRETS.at(current.namespace, current.name),
                body=patches.preconditions(current.uid, current.resource_version),
            )
        except refusals.NotFound:
            return

    async def _patch(
        self,
        current: SecretView,
        body: client.Body,
        *,
        dry_run: bool = False,
        content_type: str = client.MERGE_PATCH,
    ) -> client.Body:
        guard = patches.guard(current.uid, current.resource_version)
        try:
            return await self._api.request(
                "PATCH",
                places.SECRETS.at(current.namespace, current.name),
                query=patches.writing(dry_run=dry_run),
                body={**body, "metadata": {**body["metadata"], **guard}},
                content_type=content_type,
            )
        except refusals.NotFound as gone:
            raise errors.Conflict(Reason.CONFLICT, gone.sentence) from None


def _leases_named(items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for item in items:
        lease_id = (item["metadata"].get("annotations") or {}).get(names.LEASE_ID)
        if lease_id is not None and len(lease_id) <= _LONGEST_ID:
            yield lease_id


def view(body: Mapping[str, Any], *, is_read: bool = True) -> SecretView:
    """A Secret as it was read; ``is_read`` False: its metadata alone."""
    meta = body["metadata"]
    return SecretView(
        namespace=base.interned(meta["namespace"]),
        name=base.interned(meta["name"]),
        uid=meta["uid"],
        resource_version=meta.get("resourceVersion", ""),
        type=base.interned(body.get("type", "Opaque")),
        labels=_marks(meta.get("labels")),
        annotations=_marks(meta.get("annotations")),
        keys=tuple(base.interned(key) for key in sorted(body.get("data") or ())),
        is_read=is_read,
        owner_uids=tuple(
            base.interned(owner["uid"]) for owner in meta.get("ownerReferences") or ()
        ),
        deleting="deletionTimestamp" in meta,
        immutable=body.get("immutable") is True,
        values=Credentials(dict(_texts(body.get("data") or {}))),
    )


def _marks(found: Mapping[str, str] | None) -> dict[str, str]:
    """Labels or annotations."""
    return {base.interned(k): base.interned(v) for k, v in (found or {}).items()}


def creating(draft: SecretDraft) -> client.Body:
    """The body that creates the Secret."""
    metadata = {
        **_drafted(draft),
        "labels": {k: v for k, v in draft.labels.items() if v is not None},
        "annotations": {k: v for k, v in draft.annotations.items() if v is not None},
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": draft.namespace, "name": draft.name, **metadata},
        "type": draft.type,
        "data": _data(draft),
    }


def replacing(draft: SecretDraft, current: SecretView) -> client.Body:
    """The merge patch that makes ``current`` as drafted: data whole, others' labels kept."""
    gone = dict.fromkeys(current.keys)
    return {
        "metadata": _drafted(draft),
        "type": draft.type,
        "data": {**gone, **_data(draft)},
    }


def disowning(current: SecretView, owner: str) -> client.Body:
    """The strategic patch that takes what is ours off; owners beside us stay."""
    labels = [names.OWNER_UID]
    if current.labels.get(names.MANAGED_BY) == names.MANAGER:
        labels.append(names.MANAGED_BY)
    ours = [key for key in current.annotations if key.startswith(f"{names.GROUP}/")]
    metadata: client.Body = {
        "labels": dict.fromkeys(labels),
        "annotations": dict.fromkeys(ours),
    }
    if owner in current.owner_uids:
        metadata["ownerReferences"] = [{"$patch": "delete", "uid": owner}]
    return {"metadata": metadata}


def _texts(data: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The values that are text; ours are, and what isn't shows as a change.

    Somebody may have written 150,000 empty ones: ``suppress`` and ``base64`` took four times as
    long for them, in everybody's time.
    """
    for key, value in data.items():
        try:
            text = binascii.a2b_base64(value).decode()
        except ValueError:
            continue
        yield key, text


def _drafted(draft: SecretDraft) -> client.Body:
    return {
        "labels": dict(draft.labels),
        "annotations": dict(draft.annotations),
        "ownerReferences": [_owner(draft.owner)],
    }


def _owner(holder: record.Holder) -> client.Body:
    return {
        "apiVersion": names.API_VERSION,
        "kind": lease.DynamicLease.KIND,
        "name": holder.name,
        "uid": holder.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _data(draft: SecretDraft) -> dict[str, str]:
    values = draft.credentials.reveal()
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
