"""Resources of other operators, read as they are written and turned into ours by ``migrate``."""
