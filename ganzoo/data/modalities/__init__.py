"""The built-in modalities, found by name through the entry-point group `ganzoo.modalities`."""
