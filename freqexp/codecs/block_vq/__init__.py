"""Pages as code words of a trained codebook, and a residual."""
