"""Beginnings of prompts for pictures, from which an engine writes a corpus."""
