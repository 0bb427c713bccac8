"""Corrected pairs in, better model out: data, losses, training, metrics and evaluation."""
