"""The test world: real servers that tests, demo and benchmarks share, no Docker needed.

Each part is a process of its own that goes away with whoever started it: a Kubernetes
control plane (`kubernetes`), PostgreSQL (`postgres`), the Infisical emulator (`infisical`)
and proxies that misbehave on demand (`faults`). `world.World` composes them, and
`python -m tests.world` shows them to a person.
"""
