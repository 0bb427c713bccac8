"""Tools that work on the mask on screen."""
