"""From anything that holds audio to the packets of the wire. For `exchange`."""
