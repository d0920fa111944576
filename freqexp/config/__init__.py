"""A whole run: its schema, the checks of it, its file, and its id."""
