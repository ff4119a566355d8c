"""What is asked of the models: one folder a task."""
