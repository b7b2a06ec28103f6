"""Training: options, session, loop, callbacks, checkpoints and the run directory."""
