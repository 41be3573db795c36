"""The part of OpenAI's Python package that wrap_openai.py uses, with answers of its own in place of a provider's."""

from types import SimpleNamespace
from typing import Any

USAGE = SimpleNamespace(prompt_tokens=100, completion_tokens=20, prompt_tokens_details=None, completion_tokens_details=None)


def _choice(text: str) -> SimpleNamespace:
    part = SimpleNamespace(content=text)
    return SimpleNamespace(message=part, delta=part)


def _create(model: str, stream: bool = False, **_: Any) -> Any:
    if not stream:
        return SimpleNamespace(model=model, choices=[_choice("Hello there.")], usage=USAGE)
    chunks = [SimpleNamespace(model=model, choices=[_choice(text)], usage=None) for text in ("Hello ", "there.")]
    return iter([*chunks, SimpleNamespace(model=model, choices=[], usage=USAGE)])


class OpenAI:
    def __init__(self) -> None:
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=_create))
