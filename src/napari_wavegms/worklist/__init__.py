"""The images of a review, their state and their order."""
