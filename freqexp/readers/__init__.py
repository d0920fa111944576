"""Models that encode pages and answer questions. What lies between are vision tokens."""
