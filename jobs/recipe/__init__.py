"""What a recipe says: `schema` (the dataclasses), `load` (file + overrides -> checked Recipe), `packaged/` (ours)."""
