"""Answers that no provider should give: a good one with something wrong, or anything at all.

A good answer is changed at one to three places, cut short, wrapped, or given another status and
headers. What isn't a field that we keep carries the canary, so that whoever passes it on is caught.
"""

import copy
import gzip
import json
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

from tests.unit.providers import support

CANARY: Final = support.CANARY
_HUGE: Final = 10**400
_SCALARS: Final[st.SearchStrategy[Any]] = st.sampled_from(
    [
        None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), _HUGE, 1e308, -1e308, 0.5,
        "", " ", "0", "1h", "9" * 90 + "y", "-1h", "\x00", "\n", "\u2028", "\u202e", "\ud83d\ude00",
        "a\r\nSet-Cookie: x", "../../x", "%2e%2e", "x" * 5000, "null", "None", "Failed to delete",
        "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z",
        "2026-11-21", "2026-11-21T12:00:00", "P999999999D", "-999999 00:00:00", "999999 23:59:59",
        [], {}, [[]], [{}], [None], {"": ""}, ["x"] * 300,
    ]
)  # fmt: skip
_TEXTS: Final = st.text(max_size=40)
JUNK: Final = st.one_of(
    _SCALARS,
    _TEXTS,
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), _TEXTS),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
        max_leaves=12,
    ),
)
_STATUSES: Final = st.sampled_from(
    [
        *(200, 200, 200, 200, 201, 202, 204, 206, 301, 302, 307, 400, 401, 403, 404, 405, 408, 409),
        *(412, 413, 418, 422, 429, 472, 473, 499, 500, 501, 502, 503, 504, 520, 599),
    ]
)
_HEADERS: Final = st.dictionaries(
    st.sampled_from(
        [
            *("date", "retry-after", "x-ratelimit-remaining", "x-ratelimit-limit"),
            *("x-ratelimit-reset", "content-type", "content-encoding", "location", "set-cookie"),
        ]
    ),
    st.sampled_from(
        [
            *(
                "",
                "0",
                "-1",
                "1e400",
                "nan",
                "9" * 30,
                "gzip",
                "br",
                "identity",
                "text/html",
                "\xff",
            ),
            *("Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 +2359"),
            *("Sat, 21 Nov 2026", "Wed, 21 Oct 2099 07:28:00 -9999"),
            *("https://127.0.0.1/", f"a={CANARY}"),
        ]
    ),
    max_size=3,
)
_MESSAGES: Final = st.sampled_from(
    [
        "Failed to create lease from provider: ", "Dynamic secret lease with ID ", "config ",
        "TTL cannot be larger than max TTL ", "Project with slug ", "invalid lease ", "",
        "lease not found ", "past the max ttl ", "Vault is sealed ", "temporarily locked ",
        "An internal error occurred while creating the lease ", "permission denied ",
        "Cannot access this environment ", "Plan restriction ", "unknown role ",
        "maximum remaining renewal time: 999999999999 seconds ",
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mess:
    """What is done to the answers to come."""

    kind: str
    status: int
    headers: dict[str, str]
    places: tuple[int, ...]
    junk: tuple[Any, ...]
    raw: bytes
    message: Any

    def made_of(self, status: int, good: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content of the answer, where ``good`` would have been right."""
        match self.kind:
            case "changed":
                return status, self.headers, self._changed(good)
            case "cut":
                return status, self.headers, good[: self.places[0] % (len(good) + 1)]
            case "nested":
                return status, self.headers, b"[" * 5000 + good + b"]" * 5000
            case "gzipped":
                return status, {"content-encoding": "gzip"}, gzip.compress(good)[: self.places[0]]
            case "long":
                return status, self.headers, good[:-1] + b',"x":"' + b"y" * 300_000 + b'"}'
            case "refused":
                return self.status, self.headers, json.dumps(self.message).encode()
        return self.status, self.headers, self.raw

    def _changed(self, good: bytes) -> bytes:
        try:
            body = json.loads(good)
        except ValueError:
            return good
        for place, junk in zip(self.places, self.junk, strict=True):
            put(body, place, junk)
        return json.dumps(body).encode()


def put(body: Any, place: int, junk: Any) -> None:
    """Put junk somewhere into a JSON value, or take something out of it."""
    spots = list(_spots(body))
    if not spots:
        return
    holder, key = spots[place % len(spots)]
    if place % 7 == 0 and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = copy.deepcopy(junk)  # more may be put into it


def _spots(node: Any) -> Any:
    """Every place of a JSON value that can be changed."""
    entries = node.items() if isinstance(node, dict) else enumerate(node)
    for key, inner in list(entries):
        yield node, key
        if isinstance(inner, dict | list):
            yield from _spots(inner)


@st.composite
def messes(draw: st.DrawFn) -> Mess:
    """Something wrong with an answer."""
    count = draw(st.integers(1, 3))
    text = draw(_MESSAGES) + CANARY
    return Mess(
        kind=draw(
            st.sampled_from(
                ["changed"] * 8 + ["refused"] * 4 + ["cut", "nested", "gzipped", "long", "raw"]
            )
        ),
        status=draw(_STATUSES),
        headers=draw(_HEADERS),
        places=tuple(draw(st.integers(0, 999)) for _ in range(count)),
        junk=tuple(draw(JUNK) for _ in range(count)),
        raw=draw(
            st.one_of(
                st.binary(max_size=80),
                st.just(f"<html><title>{CANARY}</title>".encode()),
                st.just(f'"{CANARY}"'.encode()),
                st.just(b"NaN"),
                st.just(b"9" * 5000),
            )
        ),
        message=draw(
            st.one_of(
                st.just({"errors": [text]}),
                st.just({"error": text}),
                st.just({"message": text, "error": "BadRequest", "statusCode": 400}),
                st.just({"message": text, "error": CANARY, "reqId": CANARY + "!"}),
                st.just({"message": [{"path": [CANARY]}], "error": "ValidationFailure"}),
                st.builds(lambda j: {"errors": [j, CANARY], "error": j, "message": j}, JUNK),
                JUNK,
            )
        ),
    )
