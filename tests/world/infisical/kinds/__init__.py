"""The kinds of dynamic secret, one module each, behind the one protocol of ``base``.

What differs between them is what decides a client's strategy: whether a renewal keeps the
credential alive, whether a revocation kills it, and whether two leases can live side by side.
"""
