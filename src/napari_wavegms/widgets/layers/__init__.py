"""What the panels ask of napari's layers and viewer; no panel."""
