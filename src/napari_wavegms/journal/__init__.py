"""Every stroke on disk: what was drawn on which image, and how to get it back after a crash."""
