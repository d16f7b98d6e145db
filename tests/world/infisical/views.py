"""Rows as the API shows them: exactly the documented fields, nothing of the emulator's own."""

from tests.world.infisical import clock as clocks
from tests.world.infisical import state

HIDDEN_INPUTS = ("password", "secretAccessKey", "clusterToken", "privateKey", "bindpass")


def lease(row: state.Lease) -> dict[str, object]:
    return {
        "id": row.id,
        "version": row.version,
        "externalEntityId": row.external_entity_id,
        "expireAt": clocks.iso(row.expire_at),
        "status": row.status,
        "statusDetails": row.status_details,
        "dynamicSecretId": row.dynamic_secret_id,
        "createdAt": clocks.iso(row.created_at),
        "updatedAt": clocks.iso(row.updated_at),
        "config": row.config,
    }


def dynamic_secret(row: state.DynamicSecret) -> dict[str, object]:
    return {
        "id": row.id,
        "name": row.name,
        "version": row.version,
        "type": row.type,
        "defaultTTL": row.default_ttl,
        "maxTTL": row.max_ttl,
        "folderId": row.folder_id,
        "status": row.status,
        "statusDetails": row.status_details,
        "createdAt": clocks.iso(row.created_at),
        "updatedAt": clocks.iso(row.updated_at),
        "projectGatewayId": None,
        "gatewayId": None,
        "gatewayV2Id": None,
        "usernameTemplate": row.username_template,
        "metadata": [{"key": one["key"], "value": one.get("value", "")} for one in row.metadata],
    }


def with_inputs(row: state.DynamicSecret, *, readable: bool = True) -> dict[str, object]:
    """The variant for who may see the provider's configuration; passwords stay out."""
    inputs = {name: value for name, value in row.inputs.items() if name not in HIDDEN_INPUTS}
    return {**dynamic_secret(row), "inputs": inputs if readable else None}


def project(row: state.Project) -> dict[str, object]:
    return {
        "id": row.id,
        "name": row.name,
        "slug": row.slug,
        "orgId": row.organization,
        "type": "secret-manager",
        "autoCapitalization": False,
        "createdAt": clocks.iso(row.created_at),
        "updatedAt": clocks.iso(row.created_at),
        "environments": [{"id": name, "name": name, "slug": name} for name in row.environments],
    }
