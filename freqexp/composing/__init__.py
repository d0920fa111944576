"""From overrides to checked runs. The only room that knows Hydra."""
