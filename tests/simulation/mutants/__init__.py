"""Mutants: each rule switched off once, by a patch that the mutation run alone applies.

A mutant that the machine finds shows that the rule is needed and that the machine looks where
it counts. ``switched`` has one for each rule of the core's own list, ``marked`` the rules that
DESIGN marks with ``!``, ``known`` those about Secrets that are known, ``classic`` the faults that
operators of this kind are known for. What isn't found, and why, stands in docs/design/proof.md.
"""
