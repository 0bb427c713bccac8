"""Images and masks on disk: reading, pairing, writing, and the provenance that rides along.

Import from the modules; this one loads nothing, so that napari starts as fast with us as without.
"""
