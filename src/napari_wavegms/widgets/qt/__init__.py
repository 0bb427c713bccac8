"""Small Qt widgets and helpers; nothing here knows napari."""
