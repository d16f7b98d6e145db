"""The documented examples, and what the real server is known to do otherwise.

``examples.json`` has the answers as the API document shows them. Held against them is the shape:
the same fields with the same kinds of values, no more and no less, but for ``DEPARTURES``.
"""

import datetime
import json
import pathlib
import re
import uuid
from typing import Any, Final

HERE: Final = pathlib.Path(__file__).parent
EXAMPLES: Final[dict[str, Any]] = json.loads((HERE / "examples.json").read_text())
DEPARTURES: Final = {
    "answer[].keyMap[].masked": "sent, not documented",
    "answer[].lease.owner": "sent, documented for the list alone",
    "answer[].owner.data.createdAt": "documented, not sent for service accounts",
    "answer[].owner.data.updatedAt": "documented, not sent for service accounts",
    "answer[].owner.data.deletedAt": "documented, not sent",
}
_LENGTH: Final = re.compile(r"(\d+ )?\d{2}:\d{2}:\d{2}(\.\d{6})?")
_MOMENT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{6})?Z")


def complaints(value: object, example: object, where: str = "answer") -> set[str]:
    """Where a value's shape departs from an example's, unless that is known."""
    return {place for place in _differing(value, example, where) if place not in DEPARTURES}


def _differing(value: object, example: object, where: str) -> set[str]:
    if isinstance(value, dict) and isinstance(example, dict):
        found = {f"{where}.{name}" for name in value.keys() ^ example.keys()}
        for name in value.keys() & example.keys():
            found |= _differing(value[name], example[name], f"{where}.{name}")
        return found
    if isinstance(value, list) and isinstance(example, list):
        return {
            place
            for one in value
            for place in _least([_differing(one, each, f"{where}[]") for each in example])
        }
    return set() if _kind(value) == _kind(example) or None in (value, example) else {where}


def _least(found: list[set[str]]) -> set[str]:
    """Of several examples the one that fits best counts."""
    return min(found, key=len, default=set())


def _kind(value: object) -> str:
    if not isinstance(value, str):
        return type(value).__name__
    if _MOMENT.fullmatch(value):
        datetime.datetime.fromisoformat(value)
        return "moment"
    if _LENGTH.fullmatch(value):
        return "length"
    try:
        uuid.UUID(value)
    except ValueError:
        return "digest" if re.fullmatch(r"[0-9a-f]{64}", value) else "text"
    return "id"
