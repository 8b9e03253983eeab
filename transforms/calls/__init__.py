"""Calls to services: one attempt each by the client, repeated, counted and paced here. Used by archives and stores."""
