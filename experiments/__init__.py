"""Studies behind the figures of the documentation. Not part of the installed package; nothing imports it."""
