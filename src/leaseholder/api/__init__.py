"""The product's contract: resources, conditions, reasons and names, as pydantic models.

Everything a user writes or reads in the cluster is defined here and nowhere else; the CRD
manifests under crds/ are generated from these models (``crds``).
"""
