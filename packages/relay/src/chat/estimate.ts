/** Our own count of a prompt's tokens, where nobody else has counted them yet. */
import { estimateTokensOfSize } from "@millrace/policy/estimate";
import type { Exchange } from "./exchange.ts";

/** Tokens of the prompt, from the size of the body's texts, and from how much of a sample of it is ASCII. */
export function estimateInput({ request, textBytes }: Pick<Exchange, "request" | "textBytes">): number {
  const sample = request.body.subarray(0, 65_536);
  const units = Buffer.from(sample.buffer, sample.byteOffset, sample.length).toString("utf8").length;
  return Math.ceil(estimateTokensOfSize(textBytes, textBytes * (units / Math.max(1, sample.length))));
}
