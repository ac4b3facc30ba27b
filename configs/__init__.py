"""Presets as JSON, read by avatars.training.presets."""
