"""A company's knowledge assistant: ask its documents, see the passages, the checks and the cost."""
