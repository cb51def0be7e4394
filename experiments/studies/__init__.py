"""One study a module, each a command of its own."""
