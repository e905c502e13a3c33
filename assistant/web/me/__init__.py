"""The pages of a person's own: their conversations, what is remembered of them, and what colleagues shared."""
