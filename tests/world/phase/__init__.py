"""The Phase that tests, demo and benchmarks meet: an emulator of the documented API.

No Phase server can be installed here, so this package answers as the real one (2.73.2) does: the
same order of checks, codes, messages and quirks, whatever a client would prefer. What it issues are
users of an imaginary AWS, whose identity service says of a key whether it logs in: so a credential
that should be alive is, and a dead one is dead.

``server`` puts the parts together; ``client.PhaseAdmin`` is the test's own door, on the same port
under ``/__admin``; the identity service is beside it under ``/__aws``.
"""
