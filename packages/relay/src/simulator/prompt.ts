import { asObject } from "@millrace/wire/json-values";
import { asList, asText } from "./json.ts";
import type { JsonObject } from "@millrace/wire/json-values";

const CHARACTERS_PER_TOKEN = 4;
const QUOTED_WORDS_MAX = 8;

/** Text of a message's or an input's content: a string, or the text parts of a list. */
function contentText(content: unknown): string {
  const plain = asText(content);
  if (plain !== undefined) return plain;
  return asList(content)
    .map((part) => asText(part) ?? asText(asObject(part)?.["text"]) ?? "")
    .join(" ");
}

/** The text that the request asks about: the last user message, or the prompt of the old endpoint. */
function lastUserText(body: JsonObject): string {
  const messages = asList(body["messages"]).map((message) => asObject(message) ?? {});
  const last = messages.findLast((message) => message["role"] === "user") ?? messages.at(-1);
  return contentText(last === undefined ? body["prompt"] : last["content"]);
}

/** A rough count of the prompt's tokens, at least 1. */
export function promptTokens(body: JsonObject): number {
  const texts = asList(body["messages"]).map((message) => contentText(asObject(message)?.["content"]));
  const length = [...texts, contentText(body["prompt"]), contentText(body["input"])].join("").length;
  return Math.max(1, Math.ceil(length / CHARACTERS_PER_TOKEN));
}

/** The demo's answer: says what it is, and shows that it read the question. */
export function demoText(body: JsonObject): string {
  const words = lastUserText(body).trim().split(/\s+/);
  const quoted = words.slice(0, QUOTED_WORDS_MAX).join(" ");
  const dots = words.length > QUOTED_WORDS_MAX ? " ..." : "";
  const said = quoted === "" ? "You said nothing" : `You said: "${quoted}${dots}"`;
  return (
    "Hello! This is the simulator that is built into Millrace, so no model thought about your question. " +
    `${said}. Set a provider's key to hear a real one.`
  );
}
