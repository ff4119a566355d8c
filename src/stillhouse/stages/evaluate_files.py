"""The names of what `evaluate` writes, for whoever reads it without torch."""

COMPLETIONS = "completions.parquet"
SCORES = "scores.parquet"
TARGETS = "targets"
COPIED = "copied.json"
CLASSES = "classes.npy"
LEFT_OUT = "left_out.parquet"
"""Answers of the teacher that nobody is measured against, where its answers are the reference."""
