"""The smallest budget that is non-inferior to no compression, by bisection over growing runs."""
