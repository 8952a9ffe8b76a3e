import { drawFrom } from "./draw.ts";
import { asList, asNumber, asText } from "./json.ts";
import type { JsonObject } from "@millrace/wire/json-values";
import { promptTokens } from "./prompt.ts";

const DIMENSIONS = 64;
const DIMENSIONS_MAX = 8192;

/** The answer of `/v1/embeddings`: unit vectors that depend only on the seed and the input. */
export function embeddingsAnswer(body: JsonObject, seed: number): string {
  const dimensions = Math.min(asNumber(body["dimensions"]) ?? DIMENSIONS, DIMENSIONS_MAX);
  const isBase64 = body["encoding_format"] === "base64";
  const data = inputs(body["input"]).map((input, index) => {
    const vector = embed(input, seed, dimensions);
    return { object: "embedding", index, embedding: isBase64 ? toBase64(vector) : [...vector] };
  });
  const tokens = promptTokens(body);
  const usage = { prompt_tokens: tokens, total_tokens: tokens };
  return JSON.stringify({ object: "list", data, model: body["model"], usage });
}

/** A text, a list of texts, a list of tokens (one input), or a list of lists of tokens; each as text. */
function inputs(input: unknown): readonly string[] {
  const text = asText(input);
  if (text !== undefined) return [text];
  const list = asList(input);
  if (typeof list[0] === "number") return [JSON.stringify(list)];
  return list.map((item) => asText(item) ?? JSON.stringify(item));
}

function embed(input: string, seed: number, dimensions: number): Float32Array {
  const draw = drawFrom(seed, input);
  const vector = Float32Array.from({ length: dimensions }, () => draw() * 2 - 1);
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

/** Little-endian float32, as the SDKs decode it. */
function toBase64(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [at, value] of vector.entries()) bytes.writeFloatLE(value, at * 4);
  return bytes.toString("base64");
}
