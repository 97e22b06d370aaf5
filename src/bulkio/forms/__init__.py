"""Arrow batches in the forms that other methods and json need: rows, CSV, JSON text. Pure."""
