"""Image metrics under named conventions."""
