"""Credentials: held in a type that doesn't show them, whoever asks."""

import sys
from collections.abc import Iterator, Mapping
from typing import Final, final

_HIDDEN: Final = "<hidden>"


@final
class Credentials:
    """The values of one lease by key: what the target Secret is to hold, and nothing else.

    ``repr``, ``str`` and ``format`` hide keys and values; copying, pickling and comparing are
    not offered. ``reveal`` is the one way out.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def reveal(self) -> dict[str, str]:
        """The values themselves. Only for writing the target Secret."""
        return dict(self._values)

    def keys(self) -> Iterator[str]:
        """The names of the values; they are no secret."""
        return iter(sorted(self._values))

    @property
    def size(self) -> int:
        """About how many bytes of memory the values take."""
        return sum(map(sys.getsizeof, self._values.values()))

    def __repr__(self) -> str:
        return f"Credentials({_HIDDEN})"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("credentials aren't pickled")


@final
class Hidden:
    """One secret value: an access token, a client secret, a ServiceAccount token."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself. Only for the request that needs it."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"Hidden({_HIDDEN})"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("secrets aren't pickled")
