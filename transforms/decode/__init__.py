"""From the bytes of an archive object to columns. The way in is `objects.decode_object`."""
