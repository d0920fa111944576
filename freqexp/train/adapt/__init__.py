"""Adapting a reader to a compressor of its vision tokens."""
