"""One exchange with the server: a recording goes out, a verdict comes back."""
