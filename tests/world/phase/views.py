"""Rows as the API shows them."""

import hashlib
from typing import Any

from tests.world.phase import clock as clocks
from tests.world.phase import state


def secret(row: state.DynamicSecret, leased: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "type": "dynamic",
        "description": row.description,
        "environment": row.environment.id,
        "folder": row.folder_id,
        "path": row.path,
        "defaultTtl": clocks.length(row.default_ttl),
        "maxTtl": clocks.length(row.max_ttl),
        "provider": "aws",
        "keyMap": [
            {
                "id": one.id,
                "masked": one.masked,
                "keyName": one.name,
                "keyDigest": hashlib.sha256(one.name.encode()).hexdigest(),
            }
            for one in row.keys
        ],
        "createdAt": clocks.iso(row.created_at),
        "updatedAt": clocks.iso(row.updated_at),
        "deletedAt": clocks.maybe_iso(row.deleted_at),
        "lease": leased,
    }


def lease(row: state.Lease, credentials: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """A lease; only the answer that makes it carries credentials."""
    return {
        "id": row.id,
        "name": row.name,
        "description": "",
        "secret": row.secret.id,
        "ttl": clocks.length(row.ttl),
        "status": row.status,
        "owner": owner(row.owner),
        "credentials": credentials or [],
        "createdAt": clocks.iso(row.created_at),
        "renewedAt": None,
        "expiresAt": clocks.iso(row.expires_at),
        "revokedAt": clocks.maybe_iso(row.revoked_at),
        "deletedAt": None,
    }


def owner(account: state.Account) -> dict[str, Any]:
    role = {"id": account.role.id, "name": account.role.name}
    if account.kind == "service_account":
        data: dict[str, Any] = {"id": account.id, "name": account.name, "role": role}
        return {"type": "service_account", "data": data}
    data = {
        "id": account.id,
        "username": account.name,
        "fullName": account.name.title(),
        "email": f"{account.name}@phase.test",
        "role": role,
        "createdAt": clocks.iso(account.created_at),
        "updatedAt": clocks.iso(account.created_at),
    }
    return {"type": "organisation_member", "data": data}


def static(row: state.StaticSecret) -> dict[str, Any]:
    return {
        "id": row.id,
        "key": row.key,
        "value": row.value,
        "comment": "",
        "tags": [],
        "override": None,
        "path": row.path,
        "keyDigest": hashlib.sha256(row.key.encode()).hexdigest(),
        "version": 1,
        "environment": row.environment.id,
        "folder": None,
        "type": "secret",
        "createdAt": clocks.iso(row.created_at),
        "updatedAt": clocks.iso(row.created_at),
    }


def app(row: state.App) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "sseEnabled": row.sse_enabled,
        "createdAt": clocks.iso(row.created_at),
        "updatedAt": clocks.iso(row.created_at),
    }


def environment(row: state.Environment) -> dict[str, Any]:
    return {"id": row.id, "name": row.name, "envType": row.name.lower()[:4]}
