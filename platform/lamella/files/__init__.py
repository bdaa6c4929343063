"""The analysis of a file: units or events in CSV or Parquet, by the engine of live experiments."""
