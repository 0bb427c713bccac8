"""The annotator's memory: corrections, the sticky split and the versions of a model."""
