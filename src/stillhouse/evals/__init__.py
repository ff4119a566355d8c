"""Measuring and deciding, on predictions and scores already written; no torch."""
