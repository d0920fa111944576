"""Renderers: one module each."""
