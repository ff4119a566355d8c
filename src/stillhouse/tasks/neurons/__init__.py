"""Six kinds of short tasks, one for each specialist of an agent, each with a form of its answers."""
