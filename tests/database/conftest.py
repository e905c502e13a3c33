from tests.databases import db, empty_url, migrated_file, postgres

__all__ = ["db", "empty_url", "migrated_file", "postgres"]
