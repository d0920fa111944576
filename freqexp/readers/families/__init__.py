"""Model families of transformers, and one whose code lies beside its weights."""
