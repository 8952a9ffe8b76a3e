import { readdirSync, readFileSync } from "node:fs";
import { foldOpenAI } from "@millrace/wire/fold-openai";
import { scanJson } from "@millrace/wire/json-scan";
import { SseReader } from "@millrace/wire/sse-reader";
import { describe, expect, test } from "vitest";
import { presets } from "../../src/provider/catalogue.ts";
import type { ClientRequest, EventFacts, Usage } from "../../src/provider/provider.ts";
import { providerNames, providerOf } from "../../src/provider/registry.ts";

const STREAMS = new URL("../../../../fixtures/streams/", import.meta.url);
const GOLDEN = new URL("./golden/", import.meta.url);

interface Expected {
  readonly name: string;
  readonly kind: string;
  readonly end: "eof" | "reset";
}

const vectors = readdirSync(STREAMS)
  .filter((name) => name.endsWith(".expected.json"))
  .map((name) => JSON.parse(readFileSync(new URL(name, STREAMS), "utf8")) as Expected)
  .filter((expected) => expected.kind === "openai-chat");

function clientRequest(body: string, endpoint: ClientRequest["endpoint"] = "chat"): ClientRequest {
  const bytes = Buffer.from(body);
  const scan = scanJson(bytes);
  if (scan.fault !== null) throw new Error("the test's own body is wrong");
  const parsed = JSON.parse(body) as { model: string; stream?: boolean; stream_options?: { include_usage?: boolean } };
  return {
    endpoint,
    body: bytes,
    members: scan.members,
    model: parsed.model,
    isStream: parsed.stream === true,
    wantsUsage: parsed.stream_options?.include_usage === true,
    choices: 1,
    answersMax: 1,
    hops: 1,
    outputTokensMax: null,
  };
}

const TARGET = { model: "inner", apiKey: "sk-upstream", usageInStream: true };

describe.each(providerNames())("the dialect %s", (name) => {
  const provider = providerOf(name);

  test.each(vectors)("reads the stream $name as the reference reader does", ({ name: vector, end }) => {
    const events = new SseReader().push(readFileSync(new URL(`${vector}.sse`, STREAMS)));
    const reference = foldOpenAI(events, end);
    const facts: EventFacts[] = [];
    for (const { data, event } of events) {
      if (data.trim() === "[DONE]") break;
      if (event !== "message") continue;
      facts.push(provider.read(JSON.parse(data)));
      if (facts.at(-1)?.error !== null) break;
    }
    expect(facts.some((fact) => fact.error !== null)).toBe(reference.outcome === "error");
    const text = facts.map((fact) => fact.text).join("");
    const words = reference.choices.flatMap((choice) => [
      choice.text,
      choice.reasoning,
      choice.refusal,
      ...choice.toolCalls.flatMap((made) => [made.name, made.arguments]),
    ]);
    expect(text.length).toBe(words.join("").length);
    const finished = Object.fromEntries(facts.flatMap((fact) => fact.finished.map(({ index, reason }) => [index, reason])));
    if (reference.outcome !== "error")
      expect(finished).toEqual(
        Object.fromEntries(
          reference.choices.flatMap((choice) => (choice.finishReason === null ? [] : [[choice.index, choice.finishReason]])),
        ),
      );
    const usage = facts.map((fact) => fact.usage).findLast((found): found is Usage => found !== null) ?? null;
    expect(usage?.input ?? null).toBe((reference.usage?.["prompt_tokens"] as number | undefined) ?? null);
    expect(usage?.output ?? null).toBe((reference.usage?.["completion_tokens"] as number | undefined) ?? null);
  });

  test("changes nothing in a request but the model name and the wish for usage", () => {
    const body = '{ "model":"m", "stream" : true,"x":{"a":[1,2.50]},"messages":[{"role":"user","content":"hi","reasoning_content":""}] }';
    const wire = provider.encode(clientRequest(body), TARGET);
    expect(Buffer.from(wire.body).toString()).toBe(
      body.replace('"m"', '"inner"').replace("}] }", '}],"stream_options":{"include_usage":true} }'),
    );
    expect(wire.askedForUsage).toBe(true);
  });

  test("sends the very bytes when there is nothing to change", () => {
    const request = clientRequest('{"model":"inner","messages":[]}');
    expect(provider.encode(request, TARGET).body).toBe(request.body);
    const asked = clientRequest('{"model":"inner","stream":true,"stream_options":{"include_usage":true},"messages":[]}');
    expect(provider.encode(asked, TARGET)).toMatchObject({ askedForUsage: false, body: asked.body });
  });

  test("does not ask an upstream for usage that cannot tell it", () => {
    const request = clientRequest('{"model":"inner","stream":true,"messages":[]}');
    expect(provider.encode(request, { ...TARGET, usageInStream: false })).toMatchObject({ askedForUsage: false, body: request.body });
  });

  test("keeps a client's other stream options", () => {
    const wire = provider.encode(
      clientRequest('{"model":"inner","stream":true,"stream_options":{"include_obfuscation":false},"messages":[]}'),
      TARGET,
    );
    expect(JSON.parse(Buffer.from(wire.body).toString())).toMatchObject({
      stream_options: { include_obfuscation: false, include_usage: true },
    });
  });

  test("sends only its own headers, and no authorization where there is no key", () => {
    const wire = provider.encode(clientRequest('{"model":"inner","messages":[]}'), TARGET);
    const headers = Object.fromEntries(wire.headers.flatMap((value, at) => (at % 2 === 0 ? [[value, wire.headers[at + 1]]] : [])));
    expect(headers).toEqual({
      "content-type": "application/json",
      accept: "application/json",
      "accept-encoding": "identity",
      "user-agent": "millrace",
      "x-millrace-hops": "1",
      authorization: "Bearer sk-upstream",
    });
    expect(provider.encode(clientRequest('{"model":"inner","messages":[]}'), { ...TARGET, apiKey: null }).headers).not.toContain(
      "authorization",
    );
  });

  test("reads errors in every known envelope as its golden file says", () => {
    const golden = JSON.parse(readFileSync(new URL("failures.json", GOLDEN), "utf8")) as {
      status: number;
      body: string;
      expected: object;
    }[];
    for (const { status, body, expected } of golden)
      expect({ body, ...provider.failure(status, body) }).toMatchObject({ body, ...expected });
  });
});

test("DeepSeek's retired names still mean what they meant", () => {
  const { encode } = providerOf("deepseek");
  const sent = (body: string, model: string): unknown =>
    JSON.parse(Buffer.from(encode(clientRequest(body), { ...TARGET, model }).body).toString());
  const plain = '{"model":"deepseek-chat","messages":[]}';
  expect(sent(plain, "deepseek-chat")).toEqual({ model: "deepseek-flash", thinking: { type: "disabled" }, messages: [] });
  expect(sent(plain, "deepseek-reasoner")).toEqual({ model: "deepseek-flash", thinking: { type: "enabled" }, messages: [] });
  expect(sent(plain, "deepseek-flash")).toEqual({ model: "deepseek-flash", messages: [] });
  const own = '{"model":"deepseek-chat","thinking":{"type":"enabled"},"messages":[]}';
  expect(sent(own, "deepseek-chat")).toEqual({ model: "deepseek-flash", thinking: { type: "enabled" }, messages: [] });
});

test("every preset names a dialect that exists", () => {
  expect(presets.filter((preset) => !providerNames().includes(preset.provider))).toEqual([]);
});
