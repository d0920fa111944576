"""Saved runs and published tables, run again: compared cell by cell."""
