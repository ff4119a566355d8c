"""The teacher-signal store: checksummed Parquet shards that are refused when anything differs."""
