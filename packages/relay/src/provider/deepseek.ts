/** DeepSeek: OpenAI's shape, with thinking on unless it is switched off, and names that have been retired. */
import type { JsonEdit } from "@millrace/wire/json-scan";
import { encodeWith, openaiCompatible } from "./openai-compatible.ts";
import type { ClientRequest, EncodeTarget, Provider, WireRequest } from "./provider.ts";

interface Successor {
  readonly model: string;
  readonly thinking: "enabled" | "disabled";
}

/** Names that ended on 2026-07-24, and what they meant. A client that still says them gets what it always got. */
const RETIRED: Readonly<Record<string, Successor>> = {
  "deepseek-chat": { model: "deepseek-flash", thinking: "disabled" },
  "deepseek-reasoner": { model: "deepseek-flash", thinking: "enabled" },
};

export const deepseek: Provider = {
  ...openaiCompatible,
  name: "deepseek",
  requestIdHeaders: ["x-request-id", "x-deepseek-request-id"],
  encode,
};

function encode(request: ClientRequest, target: EncodeTarget): WireRequest {
  const successor = Object.hasOwn(RETIRED, target.model) ? RETIRED[target.model] : undefined;
  if (successor === undefined) return encodeWith(request, target, []);
  return encodeWith(request, { ...target, model: successor.model }, thinkingEdit(request, successor));
}

function thinkingEdit(request: ClientRequest, successor: Successor): JsonEdit[] {
  const isClientsOwn = request.endpoint !== "chat" || request.members.some((member) => member.key === "thinking");
  return isClientsOwn ? [] : [{ kind: "set", key: "thinking", json: `{"type":"${successor.thinking}"}` }];
}
