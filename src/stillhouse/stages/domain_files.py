"""Names of files that the training of a student with domains writes and others read."""

KD_CONFIG, KD_SUMMARY = "kd_config.json", "kd_summary.json"

SECONDS_OF = "seconds of "
"""Before a domain's name, in what is measured beside the artifact."""
