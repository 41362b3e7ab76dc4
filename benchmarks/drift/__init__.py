"""What cameras and other people's preprocessing do to a search: corrupted queries, and mistakes that are named."""
