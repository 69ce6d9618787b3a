"""Flags of a verb that is configured by a file: `--config=FILE.py --config.section.key=value`."""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

_PREFIX = "--config."


class ConfigFlagValues(flags.FlagValues):
    """absl flags, beside words `--config.section.key=value`, which the config's own types will judge.

    absl wants every flag to be defined before; which keys a config has depends on its method. After
    parsing, `overrides` holds the values by dotted key.
    """

    def __call__(self, argv: Sequence[str], known_only: bool = False) -> list[str]:
        """Parses the words of a command line; see `absl.flags.FlagValues`."""
        rest, overrides, words = [], {}, list(argv)
        while words:
            word = words.pop(0)
            if not word.startswith(_PREFIX):
                rest.append(word)
                continue
            key, equals, value = word.removeprefix(_PREFIX).partition("=")
            if not equals:
                if not words or words[0].startswith("--"):
                    raise flags.Error(f"{word} lacks a value; write {word}=VALUE")
                value = words.pop(0)
            if not key or not all(key.split(".")):
                raise flags.Error(f"{word} names no key; write {_PREFIX}section.key=VALUE")
            overrides[key] = value
        self.__dict__["overrides"] = overrides
        return super().__call__(rest, known_only)
