"""The exploration: core and controller against fake ports, one interleaving after another.

``promises`` says what must hold, ``machine`` what may happen, ``world`` keeps the truth.
Everything is deterministic: a loop without a clock of its own (``loop``), calls that go through
a gate (``gate``), and choices that hypothesis makes and can repeat.
"""
