"""What is put off at an import is there when somebody uses it."""

import os
import pathlib
import subprocess
import sys

from tests.world import certificates

USE = """
import asyncio, ssl, sys
from leaseholder.cluster import lean
import aiohttp, aiohttp.connector
from aiohttp import web

known = [aiohttp.connector._SSL_CONTEXT_VERIFIED, aiohttp.connector._SSL_CONTEXT_UNVERIFIED]
print(*[one.cert_store_stats()["x509_ca"] for one in known])


async def main():
    async def answer(_):
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(sys.argv[1], sys.argv[2])
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        async with session.get(f"https://127.0.0.1:{port}/") as response:
            print(await response.text(), type(known[0]) is ssl.SSLContext)
    await runner.cleanup()


asyncio.run(main())
print("set_default_verify_paths" in vars(ssl.SSLContext))
"""


def used(server: certificates.ServerFiles, ca: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """A connection to a server, made where that authority is the system's."""
    return subprocess.run(
        [sys.executable, "-c", USE, server.certificate, server.key],
        env={**os.environ, "SSL_CERT_FILE": str(ca)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_aiohttp_trusts_is_loaded_by_its_first_connection(tmp_path: pathlib.Path) -> None:
    files = certificates.write_server(tmp_path, "server")
    done = used(files, files.ca)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["0 0", "hello True", "False"]


def test_what_aiohttp_does_not_trust_is_refused_as_before(tmp_path: pathlib.Path) -> None:
    files = certificates.write_server(tmp_path, "server")
    other = certificates.write_server(tmp_path, "other")
    done = used(files, other.ca)
    assert "ClientConnectorCertificateError" in done.stderr
    assert done.stdout == "0 0\n"
