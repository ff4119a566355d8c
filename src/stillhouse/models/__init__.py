"""Weights in memory: where they come from, how they are loaded, what they say."""
