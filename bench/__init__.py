"""Benchmarks: the operator beside the bare calls that nobody could do without.

``__main__`` runs the measures and writes ``results/*.json``; ``stage`` is the world that they run
in; ``measures`` are what is measured, one function each; ``floor`` is the bare script; ``usage``
reads processor time and memory of whole processes; ``results`` keeps figures; ``plots`` draws them.
"""
