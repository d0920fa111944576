"""What token compressors with parameters are made of: networks, codes, their file."""
