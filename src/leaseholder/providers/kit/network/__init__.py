"""Connections to servers that may be anybody's: to whom, over what, and within which bounds.

``hosts`` holds a provider's url against the administrator's list; ``dialing`` judges the addresses
that a name stands for and connects to them; ``sockets`` is TCP and TLS that count what comes, by
``bounds``; ``transport`` speaks HTTP over that, for ``kit.connections``.
"""
