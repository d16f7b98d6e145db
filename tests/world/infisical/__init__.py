"""The Infisical that tests, demo and benchmarks meet: an emulator of the documented API.

No Infisical server can be installed here, so this package answers as the real one does: the
same order of checks, codes, messages and quirks, whatever a client would prefer. What it issues
is real where it can be (PostgreSQL roles that log in, and stop logging in), so that a credential
that should be alive is, and a dead one is dead.

``server`` puts the parts together; ``client.InfisicalAdmin`` is the test's own door, on the same
port under ``/__admin``.
"""
