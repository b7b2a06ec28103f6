"""Training: a plan, a loop, checkpoints, a run directory."""
