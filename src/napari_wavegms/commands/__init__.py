"""The commands of `wavegms`, one module each: `add_parser` registers the options, `run` does the work.

Importing them loads neither torch nor napari; `run` imports what it needs.
"""
