"""Records, protocols and errors that every floor above shares; no file here imports torch."""
