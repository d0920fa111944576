"""Does a model fit? Estimated from its config before any weight is loaded."""
