"""One connection to the server, from dialling to the close. For `exchange`; `results` uses only `dial`."""
