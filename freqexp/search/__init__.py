"""The smallest keep ratio within a margin: bisection."""
