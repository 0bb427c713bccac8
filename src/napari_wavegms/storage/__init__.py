"""How bytes get to disk: atomic writes, stores, content hashes, the user's folders."""
