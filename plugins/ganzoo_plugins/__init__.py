"""Built-in architectures and data sets, registered by the same entry points as third-party plugins."""
