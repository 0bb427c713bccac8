"""The panels inside napari; the only room that knows napari and Qt."""
