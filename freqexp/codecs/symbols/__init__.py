"""Text pages as shapes that are stored once, and their order."""
