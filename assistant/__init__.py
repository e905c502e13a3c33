"""A company's knowledge assistant: ask its documents, see the passages, the checks and the cost."""

import os

# Whoever imports LiteLLM first would otherwise make it ask the network for a table of prices.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
