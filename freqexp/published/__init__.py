"""Published tables and claims beside runs of the same settings."""
