"""The commands of `wavegms`, one module each: `add_parser` says what they take, `run` does the work.

Importing them loads neither torch nor napari; `run` fetches what it needs.
"""
