"""The command line: one absl main per verb, each parses its flags and makes one library call."""
