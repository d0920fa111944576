"""Saved runs and published tables run again and compared, cell by cell."""
