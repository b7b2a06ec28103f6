"""The built-in data sets. Each module holds the cards of one family and imports numpy, torch and PIL only to load."""
