"""The one trainer: every learned method is trained by it, from a config file into a workdir."""
