"""An index that follows its documents: what changed is encoded, the rest stays."""
