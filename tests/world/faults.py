"""Faults on demand, between the operator and an API server or a provider.

`FaultProxy.start` puts a proxy before an upstream, in a process of its own, with a certificate
that it makes itself. `Faults` tells it what to do and reads what it counted, while it runs:

    proxy = faults.FaultProxy.start(url, directory=..., upstream_ca=...)
    proxy.faults.reset_after_commit(method="POST", path="/leases", times=1)
    proxy.faults.drop_watches()

Stand-alone: `python -m tests.world.faults --upstream URL --port 8443 --control-port 8444`.
"""

import argparse
import asyncio
import dataclasses
import json
import pathlib
import signal
import ssl
import sys
import typing
import urllib.error
import urllib.request

from aiohttp import web

from tests.world import certificates, faultproxy, faultrules, processes

Action = faultrules.Action
Counters = faultrules.Counters
Rule = faultrules.Rule

_READY_TIMEOUT = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Faults:
    """The client of a proxy's control API. Its calls are short and block."""

    control_url: str

    def add(self, rule: Rule) -> str:
        """Put a rule in force, behind those that are (the first match wins); returns its id."""
        return str(self._call("POST", "/rules", rule.to_json())["id"])

    def remove(self, rule: str) -> bool:
        """Take a rule back; False when it was used up."""
        return bool(self._call("DELETE", f"/rules/{rule}")["removed"])

    def clear(self) -> None:
        """Take all rules back; what hangs is reset."""
        self._call("DELETE", "/rules")

    def rules(self) -> dict[str, Rule]:
        """The rules in force, with what is left of their counts."""
        return {name: Rule.from_json(rule) for name, rule in self._call("GET", "/rules").items()}

    def counters(self) -> Counters:
        """What was counted since the last reset."""
        return Counters(**self._call("GET", "/counters"))

    def reset_counters(self) -> None:
        """Count anew."""
        self._call("DELETE", "/counters")

    def drop_watches(self, path: str = "") -> int:
        """Reset the open watches whose path and query match, now; returns how many."""
        return int(self._call("POST", "/drop", {"path": path})["dropped"])

    def latency(
        self,
        seconds: float,
        *,
        method: str = ".*",
        path: str = "",
        times: int | None = None,
        probability: float = 1.0,
    ) -> str:
        """Hold requests back before they are forwarded; a client that gives up commits late."""
        return self.add(
            Rule(method=method, path=path, times=times, probability=probability, delay=seconds)
        )

    def answer(
        self,
        status: int,
        *,
        method: str = ".*",
        path: str = "",
        times: int | None = None,
        probability: float = 1.0,
        body: str = "",
        retry_after: int | None = None,
    ) -> str:
        """Answer instead of the upstream: 409, 410, 429 with Retry-After, 5xx."""
        return self.add(
            Rule(
                action=Action.ANSWER,
                method=method,
                path=path,
                times=times,
                probability=probability,
                status=status,
                body=body,
                headers={} if retry_after is None else {"Retry-After": str(retry_after)},
            )
        )

    def hang(self, *, method: str = ".*", path: str = "", times: int | None = None) -> str:
        """Never answer, and don't forward."""
        return self.add(Rule(action=Action.HANG, method=method, path=path, times=times))

    def reset(self, *, method: str = ".*", path: str = "", times: int | None = None) -> str:
        """Reset the connection instead of forwarding."""
        return self.add(Rule(action=Action.RESET_BEFORE, method=method, path=path, times=times))

    def reset_after_commit(
        self, *, method: str = ".*", path: str = "", times: int | None = None
    ) -> str:
        """Forward, throw the answer away, and reset the connection: a lost answer."""
        return self.add(Rule(action=Action.RESET_AFTER, method=method, path=path, times=times))

    def date(
        self,
        ahead: float | None,
        *,
        method: str = ".*",
        path: str = "",
        times: int | None = None,
        probability: float = 1.0,
    ) -> str:
        """Answer with a ``Date`` so many seconds ahead of the upstream's; None: without one."""
        return self.add(
            Rule(
                method=method,
                path=path,
                times=times,
                probability=probability,
                date_ahead=ahead or 0.0,
                dateless=ahead is None,
            )
        )

    def expire_watches(self, *, path: str = "", times: int | None = None) -> str:
        """Answer watches by a stream whose only event says 410 Expired."""
        watch = f"(?=.*watch=)(?=.*{path})" if path else "watch="
        return self.add(Rule(action=Action.EXPIRE_WATCH, method="GET", path=watch, times=times))

    def ready(self) -> bool:
        """Whether the proxy is up."""
        try:
            with urllib.request.urlopen(f"{self.control_url}/ready", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def _call(
        self, method: str, path: str, body: dict[str, typing.Any] | None = None
    ) -> dict[str, typing.Any]:
        request = urllib.request.Request(
            self.control_url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            answer: dict[str, typing.Any] = json.load(response)
            return answer


@dataclasses.dataclass(frozen=True, slots=True)
class FaultProxy(processes.Stoppable):
    """A proxy that runs, and how to reach it and its faults."""

    url: str
    ca_file: pathlib.Path | None
    """What clients trust; None when the proxy speaks plain HTTP."""
    faults: Faults
    process: processes.Process

    @classmethod
    def start(
        cls,
        upstream: str,
        *,
        directory: pathlib.Path,
        name: str = "faults",
        upstream_ca: pathlib.Path | None = None,
        tls: bool = True,
    ) -> "FaultProxy":
        """Start a proxy before an upstream; its log and its certificate go to the directory."""
        port, control_port = processes.free_ports(2)
        options = [f"--upstream={upstream}", f"--port={port}", f"--control-port={control_port}"]
        options += [f"--upstream-ca={upstream_ca}"] if upstream_ca else []
        server = certificates.write_server(directory, name) if tls else None
        if server is not None:
            options += [f"--certificate={server.certificate}", f"--key={server.key}"]
        process = processes.Process.start(
            name, processes.python("tests.world.faults", *options), directory=directory
        )
        faults = Faults(f"http://{processes.LOOPBACK}:{control_port}")
        proxy = cls(
            url=f"http{'s' if tls else ''}://{processes.LOOPBACK}:{port}",
            ca_file=server.ca if server else None,
            faults=faults,
            process=process,
        )
        try:
            processes.wait_until(
                faults.ready, timeout=_READY_TIMEOUT, what="the proxy is up", part=process
            )
        except BaseException:
            process.stop()
            raise
        return proxy

    def stop(self) -> None:
        """Stop the proxy; the upstream stays."""
        self.process.stop()


async def serve(arguments: argparse.Namespace) -> None:
    """Listen until SIGTERM or Ctrl-C."""
    book = faultrules.Book()
    upstream_tls = None
    if arguments.upstream_ca:
        upstream_tls = ssl.create_default_context(cafile=arguments.upstream_ca)
    proxy = faultproxy.Proxy(arguments.upstream, upstream_tls, book)
    tls = None
    if arguments.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(arguments.certificate, arguments.key)
    # A handler is told when its client goes, or watches would stay open at the upstream.
    front = web.AppRunner(
        proxy.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.5
    )
    back = web.AppRunner(faultproxy.control(proxy, book), access_log=None)
    await front.setup()
    await back.setup()
    host = processes.LOOPBACK
    await web.TCPSite(front, host, arguments.port, ssl_context=tls, backlog=1024).start()
    await web.TCPSite(back, host, arguments.control_port).start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    proxy.release()
    await asyncio.gather(front.cleanup(), back.cleanup())


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.world.faults", description="A proxy that misbehaves on demand."
    )
    parser.add_argument("--upstream", required=True, help="URL of what it stands before")
    parser.add_argument(
        "--upstream-ca", help="file of the authority that the upstream is checked by"
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control-port", type=int, required=True)
    parser.add_argument("--certificate", help="serve TLS with this certificate")
    parser.add_argument("--key")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    asyncio.run(serve(parse(sys.argv[1:])))
