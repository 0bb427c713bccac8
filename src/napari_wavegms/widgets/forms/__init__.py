"""Rows of the panels: model, device, threshold, clean-up."""
