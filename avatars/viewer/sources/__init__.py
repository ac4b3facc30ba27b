"""Where the face of the moment comes from; one is chosen at a time, and changed while running."""
