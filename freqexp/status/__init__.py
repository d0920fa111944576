"""How far a sweep is, from its files and squeue alone."""
