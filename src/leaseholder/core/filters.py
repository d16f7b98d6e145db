"""The filters of templates: what a connection string or a config file needs, and no more.

A filter makes a text from a text and constant arguments. It never raises and shows nothing:
where it can't, it returns None, and the caller says so without the value. One call makes at
most ``MOST`` characters from ``replace``, and at most six times what it gets from the others
(twelve from letters beyond ASCII), so that a caller who bounds each step bounds the whole.
"""

import base64
import json
import shlex
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

MOST: Final = 1024 * 1024
"""So many bytes the data of a Secret may have, in all; so many characters a text of it."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter, and how to speak of it."""

    usage: str
    """How it is written behind a name."""
    arguments: int
    """So many constant texts it takes."""
    apply: Callable[..., str | None]
    """The text, then the arguments; None where it can't."""
    refusal: str = ""
    """Why it returned None."""
    effort: int = 1
    """How many times as long a letter may take it as it takes to copy one."""


def _urlquote(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _b64encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _b64decode(text: str) -> str | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except ValueError:
        return None


def _replace(text: str, old: str, new: str) -> str | None:
    length = len(text) + text.count(old) * (len(new) - len(old))
    return text.replace(old, new) if length <= MOST else None


FILTERS: Final[Mapping[str, Filter]] = {
    "b64decode": Filter("b64decode", 0, _b64decode, "the value isn't base64 of a text in UTF-8"),
    "b64encode": Filter("b64encode", 0, _b64encode),
    "json": Filter("json", 0, _json),
    "replace": Filter("replace('old', 'new')", 2, _replace, "more than 1 MiB would come of it"),
    "shellquote": Filter("shellquote", 0, shlex.quote),
    "trim": Filter("trim", 0, str.strip),
    "urlquote": Filter("urlquote", 0, _urlquote, effort=32),
}
"""By name, in the order in which they are told to users."""
