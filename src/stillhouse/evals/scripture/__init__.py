"""References to the Bible: found in text, checked against the chapters and verses that exist."""
