"""The lowest layer: errors, typed settings, the plugin contract, the registry, files, distributed training."""
