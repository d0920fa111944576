"""The way of one sample: pages, codec, encoder, token compressor, decoder, grade."""
