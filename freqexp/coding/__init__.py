"""What codecs and token compressors share: container, entropy coder, transforms, quantiser."""
