"""Errors, typed settings, the plugin contract, the registry, files, ranks: what every other folder builds on."""
