"""Log-probabilities that other tools stored, brought into a store of targets."""
