"""What notebooks show: comparisons, repeated runs and pages, by names of `import freqexp`."""
