"""The architectures and data sets that come with ganzoo, through the same entry points as anybody's."""
