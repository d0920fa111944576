"""Readers of the bundled and of random checkpoints."""

from reader_fixtures import loaded, model_config, random_checkpoint, reader

__all__ = ["loaded", "model_config", "random_checkpoint", "reader"]
