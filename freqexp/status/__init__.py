"""How far the points of a sweep are, from its files and squeue alone."""
