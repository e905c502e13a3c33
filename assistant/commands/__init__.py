"""What can be asked of an installation from the command line, and in part from the admin pages; the edges show it."""
