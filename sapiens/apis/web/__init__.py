"""The web page of ``sapiens demo``. All but :mod:`.layout` and :mod:`.events` works without gradio."""
