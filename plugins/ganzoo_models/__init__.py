"""The models that come with ganzoo: a folder each, written by `ganzoo pack`; CARD.md says how it was made."""
