"""A TCP relay before a database: cut, and it is down for whoever came this way; mended, it is back.

The server itself goes on, so that other tests and the test's own looks aren't disturbed. It runs
as a thread of whoever started it.

    with relay.Relay.start(postgres.host, postgres.port) as line:
        line.cut()
        line.mend()
"""

import contextlib
import dataclasses
import socket
import struct
import threading

from tests.world import processes

_CHUNK = 65_536
_RESET = struct.pack("ii", 1, 0)


@dataclasses.dataclass(slots=True)
class Relay(processes.Stoppable):
    """Forwards connections to an upstream while it isn't cut."""

    port: int
    _upstream: tuple[str, int]
    _listener: socket.socket | None = None
    _open: list[socket.socket] = dataclasses.field(default_factory=list)
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @classmethod
    def start(cls, host: str, port: int) -> "Relay":
        """A relay on a free port of loopback."""
        relay = cls(processes.free_port(), (host, port))
        relay.mend()
        return relay

    @property
    def host(self) -> str:
        """Where it listens."""
        return processes.LOOPBACK

    def cut(self) -> None:
        """Reset what is connected, and refuse what comes."""
        with self._lock:
            listener, self._listener = self._listener, None
            connected, self._open = self._open, []
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            listener.close()
        for one in connected:
            _reset(one)

    def mend(self) -> None:
        """Listen again."""
        if self._listener is not None:
            return
        listener = socket.create_server((self.host, self.port), backlog=128)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """Cut for good."""
        self.cut()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._upstream, timeout=10)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            with self._lock:
                is_cut = self._listener is not listener
                if not is_cut:
                    self._open += [client, server]
            if is_cut:
                _reset(client)
                _reset(server)
                continue
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK):
                sink.sendall(chunk)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            with self._lock, contextlib.suppress(ValueError):
                self._open.remove(one)
                one.close()


def _reset(one: socket.socket) -> None:
    """End a connection with a reset; whoever reads from it wakes."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        one.shutdown(socket.SHUT_RDWR)
    one.close()
