"""`python -m freqexp.conform NAME`: whether a method keeps what its stage promises."""
