"""One connection to the server, from dialling to the last close. For `exchange`; `results` uses `dial` alone."""
