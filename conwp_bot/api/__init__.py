"""ConWP over HTTP: a method for each endpoint, and what its answers mean."""
