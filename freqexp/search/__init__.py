"""Smallest budget that is non-inferior, by bisection.

Probes are ordinary runs that grow until they have answered.
"""
