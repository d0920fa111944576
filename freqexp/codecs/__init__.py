"""What compresses pages before the vision encoder. One module or folder a codec."""
