"""Codecs of other people: two commands, or an installed package that offers itself."""
