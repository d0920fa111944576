"""Runs side by side, as data: loaded from files, paired, tested. Shows nothing."""
