"""What happened to each sample, and what all of them say together. Knows no model."""
