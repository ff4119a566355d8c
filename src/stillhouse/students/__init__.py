"""Training a student, or fine-tuning a teacher, from encoded examples and stored targets."""
