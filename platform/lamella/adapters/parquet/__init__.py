"""Facts in Parquet files: the archive of what left the store."""
