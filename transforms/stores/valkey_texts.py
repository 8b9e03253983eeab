"""Small texts by key in one hash of the server, replaced by compare-and-set."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from transforms.calls.valkey import Command, ValkeyCalls, on
from transforms.stores.valkey_scripts import SWAP_TEXT

Step = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Texts:
    """The texts of a store, in one hash slot."""

    calls: ValkeyCalls
    own: str
    step: Step

    @property
    def key(self) -> bytes:
        """Where they are."""
        return f"{self.own}:{{own}}:texts".encode()

    def read(self, key: str) -> str | None:
        """The text of a key."""
        with self.step("text.read"):
            (text,) = self.calls.each(f"reading {key}", [Command(("HGET", self.key, key), self.key)])
        return None if text is None else bytes(text).decode()

    def change(self, key: str, make: Callable[[str | None], str]) -> str:
        """As `Backend.change_text`."""
        text = self.read(key)
        while (new := make(text)) != text:
            with self.step("text.write"):
                (done,) = self.calls.each(f"writing {key}", [on(SWAP_TEXT, [self.key], key, text or "", new)])
            if done:
                break
            text = self.read(key)  # where it is the same, it may be another writer's: a generation is issued once
        return new

    def keys(self, prefix: str) -> list[str]:
        """Keys with that prefix, sorted."""
        with self.step("text.read"):
            (found,) = self.calls.each("listing small texts", [Command(("HKEYS", self.key), self.key)])
        return sorted(key for key in map(bytes.decode, found) if key.startswith(prefix))
