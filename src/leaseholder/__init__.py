"""Leaseholder: a Kubernetes operator that holds dynamic-secret leases for workloads."""

__version__ = "0.1.0"
