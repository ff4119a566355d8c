"""A trained student written in a form to use, with proof that it is still the same student."""
