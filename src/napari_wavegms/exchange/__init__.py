"""Models for other programs: ONNX files and bioimage.io packages."""
