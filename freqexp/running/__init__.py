"""Runs and sweeps: what is missing is computed, and every sample is recorded."""
