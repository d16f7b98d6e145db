"""What an answer may cost, counted below HTTP, whatever its bytes say.

A server decides what an answer costs us: a megabyte of one-byte chunks, headers of two letters,
interim answers without end, TLS records with a byte in each. What they have in common is counted
here, in one place and before anything is parsed: bytes on the wire, and pieces, which are reads
and lines (HTTP spends its time on lines; honest answers have few). One read takes ``READ`` bytes
at most, and in one turn of the loop only few reads get through, in rotation among providers: so
neither long answers nor many of them keep others waiting. ``sockets`` counts and waits.
"""

import asyncio
from collections import deque
from typing import Final

READ: Final = 2048
"""Bytes of one read: what HTTP parses without a turn for the loop, in 10 ms at worst."""
AT_ONCE: Final = 4
"""Reads of all providers in one turn of the loop; those of many lines count for several."""
LINES: Final = 128
"""Lines that a read may have and count for one."""
HEAD: Final = 128 * 2**10
"""Bytes on the wire up to the end of an answer's head; httpcore2 takes 100 KiB of it at once."""
_AROUND: Final = 8
"""One byte for so many of the body, for what is around it."""
PIECES: Final = 1024
"""Reads and lines that any answer may have."""
BYTES_PER_PIECE: Final = 64
"""Bytes on the wire that pay for each further one."""
HANDSHAKE: Final = 64 * 2**10
"""Bytes that a server may send in a TLS handshake: ten times a usual chain of certificates."""


class Unbounded(Exception):
    """A server goes beyond what an answer may cost; carries no text of anybody's."""


class Received:
    """What the server has sent since we last wrote to it."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Whatever comes from now on answers what is written now."""
        self._wire = self._text = self._pieces = 0
        self._most = HEAD

    def expect(self, size: int) -> None:
        """The head has come, and a body of ``size`` bytes at most is wanted."""
        self._most = HEAD + size + size // _AROUND

    def wire(self, size: int) -> None:
        """Count a read of so many bytes.

        Raises:
            Unbounded: it is too much.
        """
        self._wire += size
        self._pieces += 1
        self._judge()

    def text(self, data: bytes) -> int:
        """Count what HTTP gets to see; returns for how many reads it counts in a turn.

        Raises:
            Unbounded: it is too much.
        """
        lines = data.count(b"\n")
        self._text += len(data)
        # N3: chunks of one byte, without end, held the loop for minutes; each has its lines.
        self._pieces += lines
        self._judge()
        return 1 + lines // LINES

    def record(self) -> None:
        """Count a TLS record.

        Raises:
            Unbounded: it is too much.
        """
        self._pieces += 1
        self._judge()

    def _judge(self) -> None:
        # TLS has no need of as many bytes for itself as it carries: those would be tickets.
        idle = self._wire - 2 * self._text
        if (
            self._wire > self._most
            or idle > HANDSHAKE
            or self._pieces > PIECES + self._wire // BYTES_PER_PIECE
        ):
            raise Unbounded


class Turnstile:
    """Lets few reads through in each turn of the loop, in rotation among those who read."""

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._waiting: dict[object, deque[tuple[asyncio.Future[None], int]]] = {}
        self._is_due = False

    async def turn(self, owner: object, reads: int = 1) -> None:
        """Wait for a turn of ``owner``'s; whoever has many reads waiting goes no sooner.

        Where it counts for several reads, fewer others get through in the same turn.
        """
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.setdefault(owner, deque()).append((turn, reads))
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._open, loop)
        await turn

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        opened = 0
        while self._waiting and opened < AT_ONCE:
            owner = next(iter(self._waiting))
            queue = self._waiting.pop(owner)
            turn, reads = queue.popleft()
            if queue:
                self._waiting[owner] = queue
            if not turn.done():
                turn.set_result(None)
                opened += reads
        self._is_due = bool(self._waiting)
        if self._is_due:
            loop.call_soon(self._open, loop)
