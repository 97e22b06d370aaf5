"""Where files lie: from names to files, and a new file's way to its final name."""
