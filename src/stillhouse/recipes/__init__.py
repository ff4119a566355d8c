"""A recipe is data: its schema, loading with every error at once, the plan and the estimate."""
