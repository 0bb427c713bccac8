"""The list of images in Review."""
