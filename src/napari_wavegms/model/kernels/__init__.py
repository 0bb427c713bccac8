"""Fast versions of what the network computes most: attention and group normalisation."""
