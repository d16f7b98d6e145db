"""Memory that answers may take: so much for one server, so much for all servers together.

A short answer is free. A longer one takes room while it is read, and keeps it until nobody holds
the answer any more. Where there is none left, it isn't read on: a server that fills its own room
fails, and servers that fill everybody's leave the short answers, on which leases live, alone.
"""

from typing import Final, Self

FREE: Final = 16 * 2**10
"""Bytes of an answer that need no room: any but lists and large credentials."""
SERVER: Final = 6 * 2**20
"""Bytes for one provider object: the longest list, once."""
TOGETHER: Final = 24 * 2**20
"""Bytes for all. Reading takes as much again for a moment, so 48 MiB come of it at most."""
_STEP: Final = 64 * 2**10


class NoRoom(Exception):
    """An answer is longer than the memory that is left."""


class Room:
    """So many bytes, perhaps within a larger room."""

    def __init__(self, most: int, within: Self | None = None) -> None:
        """An empty room."""
        self._most = most
        self._within = within
        self.taken = 0

    def take(self, size: int) -> bool:
        """Whether ``size`` bytes are taken now."""
        if self.taken + size > self._most:
            return False
        if self._within is not None and not self._within.take(size):
            return False
        self.taken += size
        return True

    def give(self, size: int) -> None:
        """Give taken bytes back."""
        self.taken -= size
        if self._within is not None:
            self._within.give(size)


class Share:
    """What one answer takes; given back when the answer is no longer held by anybody."""

    __slots__ = ("_room", "_taken")

    def __init__(self, room: Room) -> None:
        """Nothing is taken yet."""
        self._room = room
        self._taken = 0

    def hold(self, size: int) -> None:
        """Make sure that an answer of ``size`` bytes has its room.

        Raises:
            NoRoom: there isn't so much left.
        """
        lacking = size - FREE - self._taken
        if lacking <= 0:
            return
        step = -(-lacking // _STEP) * _STEP
        if not self._room.take(step):
            raise NoRoom
        self._taken += step

    def __del__(self) -> None:
        # Not by whoever reads it: an answer is handed on, and its memory lives as long as it does.
        self._room.give(self._taken)
