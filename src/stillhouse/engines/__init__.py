"""Whoever answers or scores, teacher and student alike, behind the protocols of `core`."""
