"""What a browser or a client touches."""
