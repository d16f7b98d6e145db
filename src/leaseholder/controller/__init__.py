"""Observe, decide, perform one step, observe again: the loop around the core."""
