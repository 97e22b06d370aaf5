"""The embedded PostgreSQL server: its programs from PyPI, a cluster of the user's own, let in nobody else."""
