"""The names of what `evaluate` writes, for whoever reads it without torch."""

COMPLETIONS = "completions.parquet"
SCORES = "scores.parquet"
TARGETS = "targets"
COPIED = "copied.json"
CLASSES = "classes.npy"
