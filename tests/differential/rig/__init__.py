"""The same files and the same bytes through two proxies, and what differs afterwards."""
