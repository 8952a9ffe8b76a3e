"""Streams one answer through a running relay and tells a whole answer from a broken one.

    pip install openai
    npm start                     # in one terminal
    python3 examples/stream.py    # in another; a question and a model may follow
"""

import os
import sys

import openai

url = os.environ.get("MILLRACE_URL", "http://127.0.0.1:8787")
key = os.environ.get("MILLRACE_KEY") or open("data/first-key", encoding="utf-8").read().strip()
client = openai.OpenAI(base_url=f"{url}/v1", api_key=key)

question = sys.argv[1] if len(sys.argv) > 1 else "Hello"
model = sys.argv[2] if len(sys.argv) > 2 else client.models.list().data[0].id

try:
    stream = client.chat.completions.create(model=model, messages=[{"role": "user", "content": question}], stream=True)
    finish = None
    for chunk in stream:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
            finish = chunk.choices[0].finish_reason or finish
    print(f"\n-- whole, finish reason {finish}")
except openai.APIError as error:
    # A break after the first words arrives here too: as the relay's error event.
    print(f"\n-- broken: {error.code or 'connection'}")
    sys.exit(1)
