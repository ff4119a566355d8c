"""Files on disk: artifacts, locks and run folders; every write survives a crash."""
