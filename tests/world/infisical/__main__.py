"""See ``tests.world.emulation.command``."""

import argparse
import functools
import pathlib

from tests.world.emulation import command
from tests.world.infisical import emulator as emulators
from tests.world.infisical import reviews, seeds, server


def parse() -> argparse.Namespace:
    parser = command.parser("infisical")
    parser.add_argument("--postgres-dsn", help="superuser of the PostgreSQL that makes roles")
    parser.add_argument("--postgres-connections", type=int, default=4)
    parser.add_argument("--kubernetes-url", help="API server for TokenReview and JWKS")
    parser.add_argument("--kubernetes-ca", type=pathlib.Path, help="its CA, as a PEM file")
    parser.add_argument("--replica-lag", type=float, help="seconds that reads trail writes")
    parser.add_argument("--client-id", help="of the identity in the default seed")
    parser.add_argument("--client-secret", help="of the identity in the default seed")
    return parser.parse_args()


def settings(options: argparse.Namespace) -> emulators.Settings:
    cluster = None
    if options.kubernetes_url:
        pem = options.kubernetes_ca.read_text() if options.kubernetes_ca else None
        cluster = reviews.Cluster(url=options.kubernetes_url, ca_pem=pem)
    return emulators.Settings(
        postgres_dsn=options.postgres_dsn,
        cluster=cluster,
        connections=options.postgres_connections,
    )


def main() -> None:
    options = parse()
    default = functools.partial(seeds.default, options.client_id, options.client_secret)
    seed = command.seed(options, seeds.Seed, lambda seconds: default(short_ttl=f"{seconds}s"))
    emulator = server.Server(emulators.Emulator(settings(options), seed))
    command.run(emulator, options, {"replicaLagSeconds": options.replica_lag})


if __name__ == "__main__":
    main()
