"""From strokes on a Labels layer to the journal."""
