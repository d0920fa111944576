"""The W&B mirror of runs."""
