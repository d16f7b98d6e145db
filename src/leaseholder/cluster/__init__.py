"""The Kubernetes adapter: ``Cluster`` on ``kubernetes.aio``, and its only importer.

Bodies are dicts in and out. Errors are translated where an answer comes in (``refusals``), so
that no text of the API server, which may quote what was sent, gets any further.
"""
