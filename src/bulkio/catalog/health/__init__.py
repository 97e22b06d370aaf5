"""What `bulkio doctor` wants to know of a server: the questions, and the facts that answer them. Pure.

Each question reads the catalog alone, runs on PostgreSQL 13 and later under `pg_catalog, pg_temp`, and can be asked by
a role without any rights.
"""
