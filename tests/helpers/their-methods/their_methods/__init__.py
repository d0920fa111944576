"""Methods of somebody else's: a codec, a token compressor and one on the KV cache."""
