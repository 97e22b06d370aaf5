"""Pipeline files: TOML, checked as a whole, to a frozen `Spec`. Nothing here asks a database."""
