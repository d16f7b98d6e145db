"""A provider's documented API (``openapi.yaml`` in its folder), and whether answers follow it."""

import dataclasses
import functools
import pathlib
from typing import Any, Final, Literal

import jsonschema_rs
import yaml

HERE: Final = pathlib.Path(__file__).parents[1]
METHODS: Final = ("get", "post", "put", "delete")


@functools.cache
def read(provider: str) -> dict[str, Any]:
    """The document as it stands."""
    document: dict[str, Any] = yaml.safe_load((HERE / provider / "openapi.yaml").read_text())
    return document


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """A documented operation; its fields are those of the query or of the body."""

    name: str
    method: str
    path: str
    place: Literal["query", "body"]
    fields: dict[str, dict[str, Any]]
    """Schemas."""
    required: tuple[str, ...]
    _responses: dict[str, Any]
    _components: dict[str, Any]

    def complaints(self, status: int, body: object) -> list[str]:
        """Where an answer departs from what is documented for its status."""
        response = self._responses.get(str(status))
        if response is None:
            return [f"{self.name} never answers {status}"]
        if "$ref" in response:
            response = self._components["responses"][response["$ref"].rpartition("/")[2]]
        schema = response["content"]["application/json"]["schema"]
        whole = {"components": self._components, **schema}
        validator = jsonschema_rs.validator_for(whole, validate_formats=True)
        return [f"{one.instance_path}: {one.message}" for one in validator.iter_errors(body)]


def operations(provider: str) -> dict[str, Operation]:
    """All operations of a document, by their ids."""
    document = read(provider)
    found = [
        _operation(document, path, method, item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]
    return {one.name: one for one in found}


def _operation(document: dict[str, Any], path: str, method: str, raw: dict[str, Any]) -> Operation:
    if "requestBody" in raw:
        schema = raw["requestBody"]["content"]["application/json"]["schema"]
        fields, required = schema["properties"], schema["required"]
    else:
        query = [one for one in raw["parameters"] if one["in"] == "query"]
        fields = {one["name"]: one["schema"] for one in query}
        required = [one["name"] for one in query if one.get("required")]
    return Operation(
        name=raw["operationId"],
        method=method.upper(),
        path=path,
        place="body" if "requestBody" in raw else "query",
        fields=fields,
        required=tuple(required),
        _responses=raw["responses"],
        _components=document["components"],
    )
