"""Asks an agent through the official Python SDKs of OpenAI and Anthropic, unmodified, and prints one JSON object.

    WRIT_KEY=$KEY WRIT_URL=http://127.0.0.1:8420 python ask.py AGENT
"""
import json, os, sys, time

import anthropic, openai

agent, key, url = sys.argv[1], os.environ["WRIT_KEY"], os.environ["WRIT_URL"]
runs = []


def waiting(base):
    """The SDK's own HTTP client, which notes which run each answer is of and waits where there is a limit of requests."""

    class Client(base):
        def send(self, request, **how):
            for _ in range(60):
                r = super().send(request, **how)
                if r.status_code != 429:
                    break
                r.close()
                time.sleep(1)
            if (run := r.headers.get("x-writ-run")) and run not in runs:
                runs.append(run)
            return r

    return Client()


def open_openai(key):
    return openai.OpenAI(api_key=key, base_url=url + "/v1", max_retries=0, http_client=waiting(openai.DefaultHttpxClient))


def open_claude(key):
    return anthropic.Anthropic(api_key=key, base_url=url, max_retries=0, http_client=waiting(anthropic.DefaultHttpxClient))


client, claude = open_openai(key), open_claude(key)
city = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
person = {"type": "object", "required": ["name"], "additionalProperties": False,
          "properties": {"name": {"type": "string"}}}


def user(text):
    return [{"role": "user", "content": text}]


def status(call):
    try:
        call()
    except (openai.APIStatusError, anthropic.APIStatusError) as e:
        return e.status_code
    return 0


class Chat:
    other = staticmethod(lambda: client.chat.completions.create(model="gpt-4o", messages=user("hello")))
    foreign = staticmethod(lambda: open_openai("writ_nothing").models.list())

    def text(self, words, **more):
        return client.chat.completions.create(model=agent, messages=user(words), **more).choices[0].message.content

    def stream(self, words, until_first=False):
        said = ""
        with client.chat.completions.create(model=agent, messages=user(words), stream=True) as s:
            for chunk in s:
                said += chunk.choices[0].delta.content or ""
                if said and until_first:
                    break
        return said

    def tools(self, words):
        tool = [{"type": "function", "function": {"name": "get_weather", "parameters": city}}]
        asked = client.chat.completions.create(model=agent, messages=user(words), tools=tool).choices[0].message
        told = {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": "21 degrees"}
        again = client.chat.completions.create(model=agent, messages=user(words) + [asked, told], tools=tool)
        return again.choices[0].message.content

    def formed(self, words):
        return self.text(words, response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": person}})


class Responses:
    other = staticmethod(lambda: client.responses.create(model="gpt-4o", input="hello"))
    foreign = staticmethod(lambda: open_openai("writ_nothing").responses.create(model=agent, input="hello"))

    def text(self, words, **more):
        return client.responses.create(model=agent, input=words, **more).output_text

    def stream(self, words, until_first=False):
        said = ""
        with client.responses.create(model=agent, input=words, stream=True) as s:
            for e in s:
                if e.type == "response.output_text.delta":
                    said += e.delta
                    if until_first:
                        break
        return said

    def tools(self, words):
        tool = [{"type": "function", "name": "get_weather", "parameters": city, "strict": False}]
        asked = client.responses.create(model=agent, input=user(words), tools=tool)
        calls = [i for i in asked.output if i.type == "function_call"]
        told = [{"type": "function_call_output", "call_id": c.call_id, "output": "21 degrees"} for c in calls]
        again = client.responses.create(model=agent, input=user(words) + calls + told, tools=tool)
        return again.output_text

    def formed(self, words):
        return self.text(words, text={"format": {"type": "json_schema", "name": "person", "schema": person}})


class Messages:
    other = staticmethod(lambda: claude.messages.create(model="claude-x", max_tokens=500, messages=user("hello")))
    foreign = staticmethod(lambda: open_claude("sk-ant-x").models.list())

    def text(self, words, **more):
        return claude.messages.create(model=agent, max_tokens=500, messages=user(words), **more).content[0].text

    def stream(self, words, until_first=False):
        said = ""
        with claude.messages.stream(model=agent, max_tokens=500, messages=user(words)) as s:
            for text in s.text_stream:
                said += text
                if until_first:
                    break
        return said

    def tools(self, words):
        tool = [{"name": "get_weather", "input_schema": city}]
        asked = claude.messages.create(model=agent, max_tokens=500, messages=user(words), tools=tool)
        told = [{"type": "tool_result", "tool_use_id": b.id, "content": "21 degrees"}
                for b in asked.content if b.type == "tool_use"]
        both = user(words) + [{"role": "assistant", "content": asked.content}, {"role": "user", "content": told}]
        return claude.messages.create(model=agent, max_tokens=500, messages=both, tools=tool).content[0].text

    def formed(self, words):
        return self.text(words, extra_body={"output_config": {"format": {"type": "json_schema", "schema": person}}})


out = {}
for name, a in {"chat": Chat(), "responses": Responses(), "messages": Messages()}.items():
    got = out[name] = {
        "text": a.text("hello"), "stream": a.stream("hello"), "tools": a.tools("how is the weather in Rome?"),
        "formed": a.formed("who?"), "broken": status(lambda: a.text("be broken")), "model": status(a.other),
        "key": status(a.foreign), "unformed": status(lambda: a.formed("who, always wrong?")),
    }
    a.stream("be slow", until_first=True)  # and goes
    got["cancelled"] = runs[-1]
print(json.dumps(out | {"runs": runs}))
