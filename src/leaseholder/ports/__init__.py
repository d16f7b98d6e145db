"""What the controller needs from the world, in the words of the field: one module for each port.

Adapters under ``providers/`` and ``cluster/`` implement these protocols; tests bring their own.
All moments are UTC in whole seconds, all lengths seconds; errors are ``leaseholder.errors``. A
name is imported from the module that defines it.
"""
