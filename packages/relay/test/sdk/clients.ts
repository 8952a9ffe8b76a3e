/** Stock clients, unchanged but for base URL and key, behind one small face. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai";
import OpenAI4 from "openai4";
import OpenAI5 from "openai5";
import OpenAI6 from "openai6";
import OpenAI7 from "openai7";
import { ChunkFold } from "./outcome.ts";
import type { ExpectedChoice } from "./shape.ts";

interface Place {
  readonly url: string;
  readonly key: string;
}

interface Ask {
  readonly model: string;
  readonly n: number;
}

export interface StreamClient {
  readonly name: string;
  /** Reads chunks itself, or lets the client's helper build the message. */
  readonly kind: "chunks" | "helper";
  /** Asks for more than one choice; a client that cannot is not given such shapes. */
  readonly knowsChoices: boolean;
  /** Where the client's error keeps the relay's code. */
  readonly keepsCode: boolean;
  stream(place: Place, ask: Ask): Promise<readonly ExpectedChoice[]>;
}

/** The versions differ in types that this file does not use, so the newest one's stand for all. */
export type OpenAI = OpenAI7;

interface Version {
  readonly name: string;
  make(place: Place): OpenAI;
}

const SETTINGS = { maxRetries: 0, timeout: 10_000 };

export const OPENAI_VERSIONS: readonly Version[] = [
  { name: "openai-node 4", make: ({ url, key }) => new OpenAI4({ baseURL: `${url}/v1`, apiKey: key, ...SETTINGS }) as unknown as OpenAI },
  { name: "openai-node 5", make: ({ url, key }) => new OpenAI5({ baseURL: `${url}/v1`, apiKey: key, ...SETTINGS }) as unknown as OpenAI },
  { name: "openai-node 6", make: ({ url, key }) => new OpenAI6({ baseURL: `${url}/v1`, apiKey: key, ...SETTINGS }) as unknown as OpenAI },
  { name: "openai-node 7", make: ({ url, key }) => new OpenAI7({ baseURL: `${url}/v1`, apiKey: key, ...SETTINGS }) },
];

export const MESSAGES: { role: "user"; content: string }[] = [{ role: "user", content: "Say something." }];

function bodyOf(ask: Ask) {
  return { model: ask.model, messages: MESSAGES, ...(ask.n === 1 ? {} : { n: ask.n }) };
}

/** Version 4 keeps its helper in `beta`. */
export function helperOf(openai: OpenAI): OpenAI["chat"]["completions"] {
  if ("stream" in openai.chat.completions) return openai.chat.completions;
  return (openai.beta as unknown as { chat: OpenAI["chat"] }).chat.completions;
}

async function readChunks(openai: OpenAI, ask: Ask): Promise<readonly ExpectedChoice[]> {
  const fold = new ChunkFold();
  for await (const chunk of await openai.chat.completions.create({ ...bodyOf(ask), stream: true })) fold.push(chunk);
  return fold.choices;
}

async function readHelped(openai: OpenAI, ask: Ask): Promise<readonly ExpectedChoice[]> {
  const stream = helperOf(openai).stream(bodyOf(ask));
  let reasoning = "";
  // The helper keeps only the last piece of a field it does not know.
  stream.on("chunk", (chunk) => {
    const piece = (chunk.choices[0]?.delta as { reasoning_content?: unknown } | undefined)?.reasoning_content;
    if (typeof piece === "string") reasoning += piece;
  });
  const whole = await stream.finalChatCompletion();
  return whole.choices.map(({ message, finish_reason }, index) => ({
    text: message.content ?? "",
    reasoning: index === 0 ? reasoning : "",
    tools: (message.tool_calls ?? []).map((call) => {
      if (call.type !== "function") throw new Error(`a tool call of type ${call.type}`);
      return { id: call.id, name: call.function.name, arguments: call.function.arguments };
    }),
    finish: finish_reason,
  }));
}

/** Its finish reasons have dashes. */
async function readVercel({ url, key }: Place, ask: Ask): Promise<readonly ExpectedChoice[]> {
  const provider = createOpenAICompatible({ name: "millrace", baseURL: `${url}/v1`, apiKey: key });
  const choice = { text: "", reasoning: "", tools: [] as { id: string; name: string; arguments: string }[], finish: "" };
  const result = streamText({ model: provider(ask.model), messages: MESSAGES, maxRetries: 0, onError: () => undefined });
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") choice.text += part.text;
    if (part.type === "reasoning-delta") choice.reasoning += part.text;
    if (part.type === "tool-call")
      choice.tools.push({
        id: part.toolCallId,
        name: part.toolName,
        arguments: typeof part.input === "string" ? part.input : JSON.stringify(part.input),
      });
    if (part.type === "finish") choice.finish = part.finishReason.replace("-", "_");
  }
  return [choice];
}

export const STREAM_CLIENTS: readonly StreamClient[] = [
  ...OPENAI_VERSIONS.flatMap(({ name, make }): StreamClient[] => [
    {
      name: `${name}, chunk by chunk`,
      kind: "chunks",
      knowsChoices: true,
      keepsCode: true,
      stream: (place, ask) => readChunks(make(place), ask),
    },
    {
      name: `${name}, by its helper`,
      kind: "helper",
      knowsChoices: true,
      keepsCode: true,
      stream: (place, ask) => readHelped(make(place), ask),
    },
  ]),
  { name: "the Vercel AI SDK", kind: "helper", knowsChoices: false, keepsCode: false, stream: readVercel },
];
