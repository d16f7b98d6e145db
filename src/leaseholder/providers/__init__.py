"""Adapters to providers of dynamic secrets; the only importers of httpx2.

``registry.build`` chooses one by a provider's spec. ``kit`` is what all of them are made of; each
provider's own arithmetic and quirks stay in its package, and no adapter knows another.
"""
