"""What the emulators of providers have in common, so that each holds its own API's behaviour alone.

``server`` takes requests in: the log, faults, latency, and what becomes of errors. ``state`` is
what every server has: a clock, switches, the log. ``worker`` runs what is due behind the requests.
``admin`` is the test's own door, ``client`` the way through it, ``bench`` what an emulator's own
tests hold in hand. ``command`` and ``part`` make a process of it.
"""
