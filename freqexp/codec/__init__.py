"""`python -m freqexp.codec`: bitstreams as files."""
