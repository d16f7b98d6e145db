"""Observe, decide, perform one step, observe again: the loop around the core.

``hints`` make keys due, ``loop`` takes them, ``observe`` reads, ``core.rules`` decides, ``perform``
hands the step to its verb: ``acquire``, ``deliver``, ``renew``, ``revoke`` or ``rollouts``. Beside
the loop run ``providers``, ``compare`` and ``sweep``, each by its own clock.
"""
