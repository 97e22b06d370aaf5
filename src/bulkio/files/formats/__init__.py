"""The file formats: one module and one row in `registry` for each."""
