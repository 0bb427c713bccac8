"""Corrected masks that a person approved, kept for learning."""
