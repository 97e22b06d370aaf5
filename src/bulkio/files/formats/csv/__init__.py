"""CSV: read as text, strictly."""
