"""The SQL store: schema, record, configuration and analysis, on PostgreSQL and SQLite."""
