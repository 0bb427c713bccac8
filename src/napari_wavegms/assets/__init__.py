"""Files that travel in the wheel: model weights and the icon."""
