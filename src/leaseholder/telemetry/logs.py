"""Logs: one line for each record, as ``key=value`` or as JSON, and what may speak at which level.

What we log ourselves are fixed words with fields beside them (``fields``). A field may hold what
somebody wrote into a manifest: in text it is quoted, and nothing in it can begin a line of its
own. What libraries log is cut where values begin, and an exception is its type and place: their
texts may hold whole objects, and credentials. Libraries that log requests, headers or bodies are
kept above the level at which they do so, whatever level the administrator chose.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from leaseholder import errors

OURS: Final = "leaseholder"
KOPF: Final = "kopf"
CHATTY: Final = {
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
    "kubernetes": logging.INFO,
    "kubernetes.aio": logging.INFO,
    "aiohttp": logging.WARNING,
    "asyncio": logging.WARNING,
    "kopf._core.reactor.running": logging.ERROR,  # it runs in a thread, which is no warning
}
_PLAIN: Final = re.compile(r"[\w./:@%+*,…-]+")
_VALUES: Final = re.compile(r"[\n\r{\[(<]")
"""Where values begin in the messages of libraries."""
_LONGEST_FOREIGN: Final = 300
_SHOWN: Final = 8
"""So many characters of a long id are shown in text, its last."""
_OBJECT: Final = ("namespace", "name", "uid")


def configure(level: str, log_format: str) -> None:
    """Log to stderr.

    Args:
        level: DEBUG, INFO or WARNING.
        log_format: ``text`` or ``json``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if log_format == "json" else Text())
    handler.addFilter(_Demoted(logging.getLevelName(level)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    quieten()


def quieten() -> None:
    """Keep the libraries quiet that would log what must not be logged."""
    for name, level in CHATTY.items():
        logging.getLogger(name).setLevel(level)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a record says beside its words: our fields, or the object that kopf speaks of."""
    known: Mapping[str, Any] = getattr(record, "fields", None) or {}
    about = getattr(record, "k8s_ref", None) or {}
    found = dict(known) or {key: about.get(key) for key in _OBJECT}
    if record.exc_info and record.exc_info[1] is not None:
        found["exception"] = errors.raised(record.exc_info[1])
    return {key: value for key, value in found.items() if value not in (None, "")}


def words_of(record: logging.LogRecord) -> str:
    """The words of a record, on one line."""
    text = record.getMessage()
    if not _is_of(record, OURS):
        text = _VALUES.split(text, maxsplit=1)[0][:_LONGEST_FOREIGN].rstrip(" :,=")
    return printable(text)


def printable(text: str) -> str:
    """Text with everything escaped that doesn't print."""
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


class Text(logging.Formatter):
    """``<moment> <level> <words> key=value …``; a line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        words = words_of(record)
        if not getattr(record, "fields", None):
            words = f"{record.name}: {words}"
        pairs = (f"{key}={value}" for key, value in _texts(fields_of(record)))
        return " ".join([moment(record), record.levelname, words, *pairs])


class Json(JsonFormatter):
    """One JSON object a line."""

    def __init__(self) -> None:
        super().__init__(reserved_attrs=[*RESERVED_ATTRS, "fields", "k8s_ref", "k8s_skip"])

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        head = {"time": moment(record), "level": record.levelname, "message": words_of(record)}
        return self.serialize_log_record(
            {**head, **fields_of(record), **head, "logger": record.name}
        )


def moment(record: logging.LogRecord) -> str:
    """When it was logged: UTC, milliseconds."""
    made = datetime.fromtimestamp(record.created, UTC)
    return made.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Demoted(logging.Filter):
    """What kopf says of its own work at INFO is for DEBUG: it names no change of a lease."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self._level = level

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        if _is_of(record, KOPF) and record.levelno == logging.INFO:
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return record.levelno >= self._level


def _is_of(record: logging.LogRecord, package: str) -> bool:
    return record.name == package or record.name.startswith(f"{package}.")


def _texts(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in fields.items():
        text = str(value)
        if key == "lease" and len(text) > 2 * _SHOWN:
            text = f"…{text[-_SHOWN:]}"
        plain = _PLAIN.fullmatch(text) is not None
        yield key, text if plain else printable(json.dumps(text, ensure_ascii=False))


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode()
