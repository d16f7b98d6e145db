"""Adapters to providers of dynamic secrets; the only importers of httpx2.

``registry.build`` chooses one by a provider's spec. ``http``, ``turns``, ``pace``, ``failures``,
``clock`` and ``ttl`` are shared; each provider's own arithmetic and quirks stay in its package.
"""
