"""Pages, vision tokens and samples: what everything else is about. Knows no method and no model."""
