"""From measurements to image files."""
