"""The names of what `label` writes, for whoever reads it without torch."""

COMPLETIONS = "completions.parquet"
TARGETS = "targets"
CLASSES = "classes"
