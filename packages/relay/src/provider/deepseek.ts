/** DeepSeek: OpenAI's shape, with thinking on unless it is switched off, and names that have been retired. */
import type { JsonEdit } from "@millrace/wire/json-scan";
import { encodeWith, openaiCompatible } from "./openai-compatible.ts";
import type { ClientRequest, Provider, WireRequest } from "./provider.ts";

interface Successor {
  readonly model: string;
  readonly thinking: "enabled" | "disabled";
}

/** Names that ended on 2026-07-24, and what they meant. A client that still says them gets what it always got. */
const RETIRED: Readonly<Record<string, Successor>> = {
  "deepseek-chat": { model: "deepseek-flash", thinking: "disabled" },
  "deepseek-reasoner": { model: "deepseek-flash", thinking: "enabled" },
};

export const deepseek: Provider = { ...openaiCompatible, name: "deepseek", encode };

function encode(request: ClientRequest, upstreamModel: string, apiKey: string | null): WireRequest {
  const successor = Object.hasOwn(RETIRED, upstreamModel) ? RETIRED[upstreamModel] : undefined;
  if (successor === undefined) return encodeWith(request, upstreamModel, apiKey, []);
  return encodeWith(request, successor.model, apiKey, thinkingEdit(request, successor));
}

function thinkingEdit(request: ClientRequest, successor: Successor): JsonEdit[] {
  const isClientsOwn = request.door !== "chat" || request.members.some((member) => member.key === "thinking");
  return isClientsOwn ? [] : [{ kind: "set", key: "thinking", json: `{"type":"${successor.thinking}"}` }];
}
