"""What a training needs, before it runs: operations, memory, bytes on the wire, time and money."""
