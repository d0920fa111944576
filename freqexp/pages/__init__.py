"""Text to page images. One module a renderer."""
