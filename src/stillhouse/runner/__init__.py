"""From a plan to finished artifacts: processes, resume, checks, runs and their reports."""
