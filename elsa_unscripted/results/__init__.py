"""What came back from the server, and what can be said of it. Used by callers, and by every room that shows results."""
