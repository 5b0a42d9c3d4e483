"""Own data: what annotation tools write, and the configs that train on it (``sapiens new``, ``sapiens labels``)."""
