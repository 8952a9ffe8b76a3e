/**
 * Mends events that stock clients read wrongly, byte by byte where it is needed and nowhere else: a role or the head
 * of a tool call that is said again (some clients join the two), a tool call without its index (some lose it), and
 * `error: null` (some take the key alone for an error).
 */
import { editJson, findPath, scanJson } from "@millrace/wire/json-scan";
import type { JsonEdit } from "@millrace/wire/json-scan";
import { isObject } from "../provider/upstream-error.ts";

interface ToolHead {
  id: string;
  name: string;
}

interface ChoiceSoFar {
  role: string;
  readonly calls: Map<number, ToolHead>;
  lastCall: number;
}

type Path = readonly (string | number)[];

/** True when the event has a part that a {@link Mender} must see. */
export function isForMender(event: object): boolean {
  if ("error" in event) return true;
  return choicesOf(event).some((choice) => {
    const delta = deltaOf(choice);
    return delta !== null && ("role" in delta || "tool_calls" in delta);
  });
}

/** Remembers what one answer has said so far. */
export class Mender {
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
    const fresh: ChoiceSoFar = { role: "", calls: new Map(), lastCall: -1 };
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
  sofar.lastCall = index;
  return { head, made };
}

/** A call that is named for the first time is the next one; anything else goes on with the one it names, or the last. */
function missingIndex(sofar: ChoiceSoFar, id: string, name: string): number {
  if (id !== "") {
    const known = [...sofar.calls].find(([, head]) => head.id === id);
    return known === undefined ? sofar.calls.size : known[0];
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
