"""Documents become passages, and passages are found again."""

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec

# LanceDB's own log warns of every table it makes; it reads this once, when it is imported.
os.environ.setdefault("LANCEDB_LOG", "error")
# It also imports a client for remote catalogues, which is half of what importing it takes. It is given the client's
# models alone: here tables are opened by their address.
_CLIENT = "lance_namespace_urllib3_client"
if _CLIENT not in sys.modules and (_found := importlib.util.find_spec(_CLIENT)) is not None:
    sys.modules[_CLIENT] = importlib.util.module_from_spec(ModuleSpec(_CLIENT, None, is_package=True))
    sys.modules[_CLIENT].__path__ = _found.submodule_search_locations or []
