"""Runs on a cluster or in several local processes: submission, and what runs on a node.

All that knows submitit and SLURM. Imports nothing heavy, and submitit only when it submits.
"""
