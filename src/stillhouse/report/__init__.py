"""One self-contained HTML page per run: what was done, measured and decided."""
