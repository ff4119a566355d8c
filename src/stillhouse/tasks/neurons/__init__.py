"""Six kinds of short tasks, one for each specialist of an agent, answered in six forms."""
