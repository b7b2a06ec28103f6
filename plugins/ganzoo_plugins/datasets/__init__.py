"""Built-in data sets. Each module holds one family and imports numpy, torch and PIL only when loading."""
