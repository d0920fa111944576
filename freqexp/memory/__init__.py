"""Whether a model fits, before any weight is loaded: estimated from its config alone."""
