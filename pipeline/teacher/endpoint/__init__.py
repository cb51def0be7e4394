"""A teacher behind a server: requests, what admits a server, and the answers that are kept."""
