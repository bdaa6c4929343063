"""The data that ships with the package, with its notice."""
