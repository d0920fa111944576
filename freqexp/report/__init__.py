"""A comparison shown: tables, figures and one HTML page. Needs no model, Hydra or W&B."""
