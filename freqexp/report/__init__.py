"""A comparison shown: tables, figures, one HTML page. Needs no model, Hydra or W&B."""
