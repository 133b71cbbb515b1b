"""What the end-to-end tests are made of: the proxy under test, scripted upstreams, raw clients, test guests."""
