"""A whole run: its schema, checks, file and id."""
