"""See ``tests.world.emulation.command``."""

import argparse

from tests.world.emulation import command
from tests.world.phase import emulator as emulators
from tests.world.phase import seeds, server


def parse() -> argparse.Namespace:
    parser = command.parser("phase")
    parser.add_argument("--renewal", choices=("Broken", "Fixed"), help="the real one is broken")
    parser.add_argument("--expiry-lag", type=float, help="seconds by chance; real: 2")
    parser.add_argument("--worker-busy", type=float, help="seconds before each job; real: 7")
    parser.add_argument("--aws-seconds", type=float, help="of a job or revocation; real: 0.9")
    parser.add_argument("--token", help="of kube-bot in the default seed, 64 hexadecimal digits")
    return parser.parse_args()


def main() -> None:
    options = parse()
    turned = {
        "renewal": options.renewal,
        "expiryLagSeconds": options.expiry_lag,
        "workerBusySeconds": options.worker_busy,
        "awsSeconds": options.aws_seconds,
    }
    seed = command.seed(
        options, seeds.Seed, lambda seconds: seeds.default(options.token, short_seconds=seconds)
    )
    command.run(server.Server(emulators.Emulator(seed)), options, turned)


if __name__ == "__main__":
    main()
