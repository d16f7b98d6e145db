"""The documented API in compact JSON, and the little validator that holds answers to it.

``schemas.json`` has the shapes, ``endpoints.json`` the parameters, defaults and status codes of the
five documented operations. No object may carry a field that isn't written down.
"""

import datetime
import json
import pathlib
import uuid
from typing import Any, Final

HERE: Final = pathlib.Path(__file__).parent
SCHEMAS: Final[dict[str, Any]] = json.loads((HERE / "schemas.json").read_text())
ENDPOINTS: Final[dict[str, Any]] = json.loads((HERE / "endpoints.json").read_text())
TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "string": str,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
}


def schema_of(endpoint: str, status: int) -> dict[str, Any]:
    """What the documentation says about an answer; a status that it doesn't list is an error."""
    known = ENDPOINTS[endpoint]
    if str(status) in known["answers"]:
        answer: dict[str, Any] = known["answers"][str(status)]
        return answer
    assert str(status) in known["errors"], f"{endpoint} never answers {status}"
    error: dict[str, Any] = SCHEMAS[str(status)]
    return error


def complaints(value: object, schema: dict[str, Any], where: str = "answer") -> list[str]:
    """Where a value departs from its schema."""
    if "$ref" in schema:
        return complaints(value, SCHEMAS[schema["$ref"]], where)
    if value is None and (schema.get("nullable") or not schema):
        return []
    if "type" not in schema:
        return []
    if not isinstance(value, TYPES[schema["type"]]):
        return [f"{where}: {value!r} is no {schema['type']}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r} is none of {schema['enum']}"]
    if isinstance(value, dict):
        return _object(value, schema, where)
    if isinstance(value, list):
        return [each for one in value for each in complaints(one, schema["items"], f"{where}[]")]
    return _formatted(value, schema.get("format"), where)


def _object(value: dict[str, Any], schema: dict[str, Any], where: str) -> list[str]:
    known = schema["properties"]
    extra = [f"{where}.{name}: not documented" for name in value if name not in known]
    missing = [f"{where}.{name}: missing" for name in schema["required"] if name not in value]
    inner = [
        each
        for name, one in value.items()
        if name in known
        for each in complaints(one, known[name], f"{where}.{name}")
    ]
    return extra + missing + inner


def _formatted(value: object, form: str | None, where: str) -> list[str]:
    try:
        if form == "uuid":
            uuid.UUID(str(value))
        if form == "date-time":
            moment = datetime.datetime.fromisoformat(str(value))
            return [] if moment.tzinfo else [f"{where}: no zone"]
    except ValueError:
        return [f"{where}: {value!r} is no {form}"]
    return []
