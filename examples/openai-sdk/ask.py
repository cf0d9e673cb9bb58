"""The official SDKs of OpenAI and Anthropic, unmodified, with an agent of writ as the model. Prints one JSON object.

    KEY=$(writ key new --life 1h --max-usd 2)
    OPENAI_API_KEY=$KEY OPENAI_BASE_URL=http://127.0.0.1:8420/v1 \\
    ANTHROPIC_API_KEY=$KEY ANTHROPIC_BASE_URL=http://127.0.0.1:8420 python ask.py treasurer
"""
import json, sys

import anthropic, openai

agent = sys.argv[1] if len(sys.argv) > 1 else "treasurer"
client, claude, out = openai.OpenAI(max_retries=0), anthropic.Anthropic(max_retries=0), {}


def user(text):
    return [{"role": "user", "content": text}]


def code(call):
    try:
        call()
    except (openai.APIStatusError, anthropic.APIStatusError) as e:
        return f"{type(e).__name__} {e.status_code}"
    return "accepted"


balance = "what is alice's USDC balance?"
out["models"] = [m.id for m in client.models.list()] + [m.id for m in claude.models.list()]

# Chat Completions: whole, with the run's CID in a header, and streamed.
raw = client.chat.completions.with_raw_response.create(model=agent, messages=user(balance), temperature=0)
out["chat"], out["run"] = raw.parse().choices[0].message.content, raw.headers["x-writ-run"]
chunks = list(client.chat.completions.create(
    model=agent, messages=user(balance), stream=True, stream_options={"include_usage": True}))
out["chat stream"] = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
out["finish"], out["usage"] = chunks[-2].choices[0].finish_reason, chunks[-1].usage.total_tokens

# Responses.
out["response"] = client.responses.create(model=agent, input=balance).output_text
with client.responses.stream(model=agent, input=balance) as s:
    for _ in s:
        pass
    out["response stream"] = s.get_final_response().output_text

# Messages.
out["message"] = claude.messages.create(model=agent, max_tokens=500, messages=user(balance)).content[0].text
with claude.messages.stream(model=agent, max_tokens=500, messages=user(balance)) as s:
    out["message stream"] = s.get_final_text()

# What the rules refuse is an answer; a payment above the limit that asks waits for the wallet.
out["denied"] = client.chat.completions.create(model=agent, messages=user("send 500 USDC to mallory")).choices[0].message.content
waits = client.chat.completions.create(model=agent, messages=user("send 5 USDC to bob"))
out["waits"], out["waiting"] = waits.choices[0].message.content, waits.model_extra["writ"]["reason"]

# Errors are those that the SDKs know.
tool = [{"type": "function", "function": {"name": n, "parameters": {"type": "object"}}} for n in "fg"]
out["errors"] = {
    "key": code(lambda: openai.OpenAI(api_key="writ_nothing", max_retries=0).models.list()),
    "model": code(lambda: client.chat.completions.create(model="gpt-4o", messages=user("hi"))),
    "tools": code(lambda: client.chat.completions.create(model=agent, messages=user("hi"), tools=tool, tool_choice="required")),
    "n": code(lambda: client.chat.completions.create(model=agent, messages=user("hi"), n=2)),
    "empty": code(lambda: claude.messages.create(model=agent, max_tokens=5, messages=user(""))),
    "claude key": code(lambda: anthropic.Anthropic(api_key="sk-ant-x", max_retries=0).models.list()),
    "claude model": code(lambda: claude.messages.create(model="claude-x", max_tokens=5, messages=user("hi"))),
}
print(json.dumps(out))
