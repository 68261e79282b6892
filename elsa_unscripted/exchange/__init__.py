"""One exchange with the server: sends a recording, and receives the verdict. For `api`, `batch` and `cli`."""
