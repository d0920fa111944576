"""A pretrained line recogniser as a reader: it measures legibility."""
