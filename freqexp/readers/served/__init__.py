"""Models behind a chat completions endpoint, of which nothing but their answers can be seen."""
