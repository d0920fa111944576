"""What compresses vision tokens before the decoder. One module a token compressor."""
