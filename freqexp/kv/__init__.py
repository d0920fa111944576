"""Compressors of the KV cache: a layer's keys and values to fewer bytes, one module each."""
