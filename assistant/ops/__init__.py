"""What is watched, and what runs by itself."""
