/**
 * Repairs events that stock clients read wrongly. It changes only the bytes that are at fault: a repeated role or head of a tool
 * call (some clients join the two), a tool call without its index (some lose it), and `error: null` (some take the key alone for
 * an error).
 */
import { editJson, findPath, scanJson } from "@millrace/wire/json-scan";
import type { JsonEdit } from "@millrace/wire/json-scan";
import { isObject } from "@millrace/wire/json-values";

interface ToolHead {
  id: string;
  name: string;
}

interface ChoiceSoFar {
  role: string;
  readonly calls: Map<number, ToolHead>;
  /** Index of each id, so that many calls stay cheap. */
  readonly ids: Map<string, number>;
  lastCall: number;
}

type Path = readonly (string | number)[];

/** True when the event has a part that a {@link EventRepair} must see. */
export function isForRepair(event: object): boolean {
  if ("error" in event) return true;
  return choicesOf(event).some((choice) => {
    const delta = deltaOf(choice);
    return delta !== null && ("role" in delta || "tool_calls" in delta);
  });
}

/** Bound on the work of repairing one event: parts times bytes. No provider comes near it; a hostile one must not stall the others. */
const WORK_MAX = 8_000_000;

/** True when an event has so many choices and tool calls for its size that repairing it would hold up all other requests. */
export function isTooManyParts(event: object, bytes: number): boolean {
  let parts = 0;
  for (const choice of choicesOf(event)) {
    const calls = deltaOf(choice)?.["tool_calls"];
    parts += 1 + (Array.isArray(calls) ? calls.length : 0);
  }
  return parts > 8 && parts * bytes > WORK_MAX;
}

/** Remembers what one answer has said so far. */
export class EventRepair {
  readonly #choices = new Map<number, ChoiceSoFar>();

  /** @returns the event's data, mended, or null when it is right as it is. */
  mend(event: object, data: Buffer): Buffer | null {
    let mended = data;
    const edit = (path: Path, edits: readonly JsonEdit[]): void => {
      if (edits.length > 0) mended = editAt(mended, path, edits);
    };
    choicesOf(event).forEach((choice, at) => {
      const delta = deltaOf(choice);
      if (delta === null) return;
      const sofar = this.#soFar(isObject(choice) && typeof choice["index"] === "number" ? choice["index"] : at);
      const path = ["choices", at, "delta"];
      edit(path, roleEdits(sofar, delta));
      const calls = Array.isArray(delta["tool_calls"]) ? (delta["tool_calls"] as unknown[]) : [];
      calls.forEach((call, place) => {
        if (!isObject(call)) return;
        const { head, made } = toolEdits(sofar, call);
        edit([...path, "tool_calls", place, "function"], made);
        edit([...path, "tool_calls", place], head);
      });
    });
    if ("error" in event && event.error === null) edit([], [{ kind: "remove", key: "error" }]);
    return mended === data ? null : mended;
  }

  #soFar(index: number): ChoiceSoFar {
    const known = this.#choices.get(index);
    if (known !== undefined) return known;
    const fresh: ChoiceSoFar = { role: "", calls: new Map(), ids: new Map(), lastCall: -1 };
    this.#choices.set(index, fresh);
    return fresh;
  }
}

function roleEdits(sofar: ChoiceSoFar, delta: Record<string, unknown>): JsonEdit[] {
  const role = text(delta["role"]);
  if (role !== "" && role === sofar.role) return [{ kind: "remove", key: "role" }];
  sofar.role ||= role;
  return [];
}

function toolEdits(sofar: ChoiceSoFar, call: Record<string, unknown>): { head: JsonEdit[]; made: JsonEdit[] } {
  const id = text(call["id"]);
  const name = isObject(call["function"]) ? text(call["function"]["name"]) : "";
  const index = typeof call["index"] === "number" ? call["index"] : missingIndex(sofar, id, name);
  const head: JsonEdit[] = typeof call["index"] === "number" ? [] : [{ kind: "set", key: "index", json: String(index) }];
  const made: JsonEdit[] = [];
  const known = sofar.calls.get(index) ?? { id: "", name: "" };
  if (id !== "" && id === known.id) head.push({ kind: "remove", key: "id" }, { kind: "remove", key: "type" });
  if (name !== "" && name === known.name) made.push({ kind: "remove", key: "name" });
  sofar.calls.set(index, { id: known.id || id, name: known.name || name });
  if (id !== "" && !sofar.ids.has(id)) sofar.ids.set(id, index);
  sofar.lastCall = index;
  return { head, made };
}

/** A new id or name begins the next call. Anything else continues the call that it names, or the last one. */
function missingIndex(sofar: ChoiceSoFar, id: string, name: string): number {
  if (id !== "") {
    return sofar.ids.get(id) ?? sofar.calls.size;
  }
  const isNew = sofar.lastCall < 0 || (name !== "" && sofar.calls.get(sofar.lastCall)?.name !== "");
  return isNew ? sofar.calls.size : sofar.lastCall;
}

function editAt(data: Buffer, path: Path, edits: readonly JsonEdit[]): Buffer {
  const place = findPath(data, path);
  if (place === null) return data;
  const value = data.subarray(place.start, place.end);
  const scanned = scanJson(value);
  if (scanned.fault !== null || scanned.root !== "object") return data;
  return Buffer.concat([data.subarray(0, place.start), editJson(value, scanned.members, edits), data.subarray(place.end)]);
}

function choicesOf(event: object): readonly unknown[] {
  return "choices" in event && Array.isArray(event.choices) ? (event.choices as unknown[]) : [];
}

function deltaOf(choice: unknown): Record<string, unknown> | null {
  return isObject(choice) && isObject(choice["delta"]) ? choice["delta"] : null;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
