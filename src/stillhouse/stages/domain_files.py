"""Names of files that the training of a student with domains writes and others read."""

KD_CONFIG, KD_SUMMARY = "kd_config.json", "kd_summary.json"
