"""A client of OpenAI's own SDK, or of one like it, whose calls are reported: whole answers and streams.

Needs `pip install openai`, OPENAI_API_KEY, TALLYGATE_URL and TALLYGATE_KEY. The calls go to the provider directly; where
they can go through Tallygate, set the SDK's base URL instead, and report nothing.
"""

from typing import Any

from tallygate_client import Tallygate


def ask(client: Any) -> None:
    """One question as a whole answer, one as a stream; the client knows nothing of being reported."""
    messages = [{"role": "user", "content": "Say hello."}]
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    print(answer.choices[0].message.content)

    stream = client.chat.completions.create(
        model="gpt-4o-mini", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="")
    print()


if __name__ == "__main__":
    from openai import OpenAI

    with Tallygate() as tg:
        ask(tg.wrap(OpenAI(), provider="openai", tool="greeter"))
