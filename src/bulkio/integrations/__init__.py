"""bulkio inside other programs: one package for each, on the public API alone. None is imported by bulkio itself."""
