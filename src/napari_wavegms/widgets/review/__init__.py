"""The Review panel."""
