"""Move bulk data in and out of PostgreSQL through COPY, without ever changing a value."""
