"""What came back from the server, and what can be said of it."""
