"""Code from outside: what installed packages and a user's own folder offer, and what it is."""
